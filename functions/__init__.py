"""Everything that runs on Google Cloud: deciding is pure, acting happens in `adapters`."""

"""From the topology to a running system on Google Cloud: `python -m deploy plan|apply --project P --region R`."""

"""What goes wrong on purpose: proxies between the functions and what they talk to, and a process that is killed."""

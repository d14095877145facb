"""What an operator runs by hand, from a checkout: nothing of it is deployed."""

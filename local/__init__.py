"""The whole system on one machine: Google's emulators, every function, and what stands in for Stripe."""

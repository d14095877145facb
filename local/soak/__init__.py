"""The soak: thousands of signed events through the whole local system, and nothing may be lost on the way."""

"""Mail as documents for Firebase's Trigger Email extension: what is said to whom, in whose language, exactly once."""

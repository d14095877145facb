"""Offers, and how people refuse them: what they have said, and the link that each offer carries."""

"""Accounts of the people who buy: made or found, and told what they have paid for."""

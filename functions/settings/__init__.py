"""Settings from the environment, typed and checked when a function starts.

Every field of every class is one variable, described in the README's table. What is missing or malformed is collected
and raised at once, by name, so that a deployment fails before it serves and says everything that is wrong with it.
"""

"""Everything that is fuzzed."""

from tests.fuzz import asking, deciding, incoming, keys, visiting

TARGETS = (*incoming.TARGETS, *deciding.TARGETS, *asking.TARGETS, *visiting.TARGETS, *keys.TARGETS)

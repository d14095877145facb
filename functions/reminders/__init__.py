"""What becomes due later: pure rules of when a document has to be looked at again, and of what is said then.

A reminder is not a document of its own but two fields of the document it depends on: `reminders`, each kind with its
`due_at`, and `next_reminder_at`, the first of them. The commit that changes a state therefore also writes, moves and
removes its reminders, at no extra write, and nothing is ever scanned: what is due is one query.
"""

"""System checks, one module per subject, each message with a remedy.

Comes in: settings, and for some checks the running Redis and the database. Goes out: messages of Django's checks.
"""

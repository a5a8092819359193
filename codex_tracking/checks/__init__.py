"""System checks, one module per subject, each message with a remedy.

In: settings, and for some checks the running Redis and the database. Out: messages of Django's checks.
"""

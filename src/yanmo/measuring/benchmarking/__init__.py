"""Bundles measured each in a process of its own: what they are asked, the process, and what comes back.

It knows no verb and no page.
"""

"""Larkspur, a made-up garden planner: the demo's site."""

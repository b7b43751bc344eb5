"""Rates by which money of several currencies becomes money of the company's own."""

"""Readers for operators: logs, metrics, health. They see each append once, after its commit."""

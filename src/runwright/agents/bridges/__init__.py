"""Agents of other frameworks as code flows: one file a framework, loaded where one is served."""

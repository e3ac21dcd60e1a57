"""Bounds of a run. This agent fails when it would take a third step.

runwright run hasty "Say hello" --agents examples/features
"""

from runwright import Agent, Limits

agent = Agent("hasty", limits=Limits(time_s=30, steps=2, tokens=2_000, model_timeout_s=10))

"""Calls an agent with the openai client: whole, streamed, and as a pydantic model.

Needs `pip install openai` and a server: runwright serve examples/features
"""

import os

from openai import OpenAI
from openai.types.chat import ChatCompletionUserMessageParam
from pydantic import BaseModel


class Invoice(BaseModel):
    """What an invoice says."""

    number: int
    company: str


def main() -> None:
    """Ask three times."""
    server = os.environ.get("RUNWRIGHT_SERVER", "http://127.0.0.1:8321")
    client = OpenAI(base_url=f"{server}/v1", api_key=os.environ.get("RUNWRIGHT_API_KEY", "none"))
    question: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Look up customer 7"}]

    whole = client.chat.completions.create(model="customers", messages=question)
    print(whole.choices[0].message.content)

    for chunk in client.chat.completions.create(model="customers", messages=question, stream=True):
        print(chunk.choices[0].delta.content or "", end="")
    print()

    letter: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Invoice 17 from Acme"}]
    parsed = client.chat.completions.parse(model="support", messages=letter, response_format=Invoice)
    print(parsed.choices[0].message.parsed)


if __name__ == "__main__":
    main()

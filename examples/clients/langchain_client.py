"""Calls an agent as a chat model of LangChain, whole and streamed.

Needs `pip install langchain-openai` and a server: runwright serve examples/features
"""

import os

from langchain_openai import ChatOpenAI
from pydantic import SecretStr


def main() -> None:
    """Ask twice."""
    server = os.environ.get("RUNWRIGHT_SERVER", "http://127.0.0.1:8321")
    key = SecretStr(os.environ.get("RUNWRIGHT_API_KEY", "none"))
    model = ChatOpenAI(model="customers", base_url=f"{server}/v1", api_key=key)
    print(model.invoke("Look up customer 7").text)
    for chunk in model.stream("Look up customer 8"):
        print(chunk.text, end="")
    print()


if __name__ == "__main__":
    main()

"""What providers say about their limits."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.model import Quota
from runwright.models.quota import LONGEST_RESET_S, quota_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
OPENAI = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-limit-tokens": "30000",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-remaining-tokens": "29000",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-reset-tokens": "6m0s",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-05-01T12:00:02Z",
    "anthropic-ratelimit-tokens-limit": "40000",
    "anthropic-ratelimit-tokens-remaining": "39000",
    "anthropic-ratelimit-tokens-reset": "2026-05-01T12:00:01.5+00:00",
}
SCARCE_OUTPUT = {
    "anthropic-ratelimit-output-tokens-limit": "8000",
    "anthropic-ratelimit-output-tokens-remaining": "0",
    "anthropic-ratelimit-output-tokens-reset": "2026-05-01T12:01:00Z",
}
MISTRAL = {
    "x-ratelimit-limit-req-minute": "720",
    "x-ratelimit-remaining-req-minute": "540",
    "x-ratelimit-limit-tokens-minute": "5000000",
    "x-ratelimit-remaining-tokens-minute": "5000000",
}


@pytest.mark.parametrize(
    ("headers", "quota"),
    [
        pytest.param(
            OPENAI,
            Quota(
                requests=500,
                requests_left=499,
                requests_reset_s=0.12,
                tokens=30000,
                tokens_left=29000,
                tokens_reset_s=360,
            ),
            id="openai",
        ),
        pytest.param(
            {
                "x-ratelimit-limit-requests": "14400",
                "x-ratelimit-remaining-requests": "14370",
                "x-ratelimit-reset-requests": "2m59.56s",
            },
            Quota(requests=14400, requests_left=14370, requests_reset_s=179.56),
            id="groq",
        ),
        pytest.param(
            MISTRAL,
            Quota(
                requests=720,
                requests_left=540,
                requests_reset_s=15,
                tokens=5000000,
                tokens_left=5000000,
                tokens_reset_s=0,
            ),
            id="mistral",
        ),
        pytest.param(
            ANTHROPIC,
            Quota(
                requests=50, requests_left=49, requests_reset_s=2, tokens=40000, tokens_left=39000, tokens_reset_s=1.5
            ),
            id="anthropic",
        ),
        pytest.param(
            ANTHROPIC | SCARCE_OUTPUT,
            Quota(requests=50, requests_left=49, requests_reset_s=2, tokens=8000, tokens_left=0, tokens_reset_s=60),
            id="anthropic_without_output",
        ),
        pytest.param(
            {"ratelimit": '"default";r=5;t=30', "ratelimit-policy": '"default";q=10;w=60'},
            Quota(requests=10, requests_left=5, requests_reset_s=30, is_window=True),
            id="ietf",
        ),
        pytest.param(
            {
                "ratelimit": '"burst";r=9;t=1, "hour" ; r=3;t=600 ,"tok";r=100',
                "ratelimit-policy": '"burst";q=10;w=1;qu="requests","hour";q=100;w=3600,"tok";q=5000;w=60;qu="tokens"',
            },
            Quota(
                requests=100,
                requests_left=3,
                requests_reset_s=600,
                tokens=5000,
                tokens_left=100,
                tokens_reset_s=60,
                is_window=True,
            ),
            id="ietf_many",
        ),
        pytest.param(
            {"ratelimit-limit": "10", "ratelimit-remaining": "1", "ratelimit-reset": "7"},
            Quota(requests=10, requests_left=1, requests_reset_s=7, is_window=True),
            id="ietf_old",
        ),
        pytest.param(
            {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1777636860000"},
            Quota(requests=20, requests_left=0, requests_reset_s=60, is_window=True),
            id="since_1970_in_ms",
        ),
        pytest.param(
            {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1777636860"},
            Quota(requests=20, requests_left=0, requests_reset_s=60, is_window=True),
            id="since_1970",
        ),
    ],
)
def test_each_form(headers: dict[str, str], quota: Quota) -> None:
    """Each provider's way to say it is read, with times as seconds from now."""
    assert quota_of(headers, now=NOW) == quota


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-remaining-requests": "-1"},
        {"x-ratelimit-remaining-requests": "many"},
        {"x-ratelimit-remaining-requests": "nan"},
        {"x-ratelimit-remaining-requests": "1e9"},
        {"x-ratelimit-remaining-requests": "٣"},
        {"x-ratelimit-remaining-requests": "9" * 400},
        {"x-ratelimit-remaining-requests": "9", "x-ratelimit-limit-requests": "8"},
        {"x-ratelimit-remaining-req-minute": "0", "x-ratelimit-limit-req-minute": "0"},
        {"ratelimit": '"a'},
        {"ratelimit": "r=5"},
        {"ratelimit": '"' + "a;" * 100_000},
    ],
    ids=lambda headers: next(iter(headers.values()), "")[:20] or "nothing",
)
def test_nonsense_is_not_said(headers: dict[str, str]) -> None:
    """Numbers that cannot be, and a limit of nothing, are no quota."""
    assert quota_of(headers, now=NOW) is None


@pytest.mark.parametrize("reset", ["soon", "-5", "1e3", "5x", "2026-05-01T12:00:02", "99999h", "0" * 100])
def test_an_odd_time_is_not_said(reset: str) -> None:
    """A reset that cannot be read leaves the rest as it is."""
    headers = {"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": reset}
    assert quota_of(headers, now=NOW) == Quota(requests_left=3)


values = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["0", "1", "6m0s", "1.5s", '"a";r=1;t=2', '"a";q=2', "1777636860", "2026-05-01T12:00:02Z"]),
)
names = st.sampled_from(
    [*OPENAI, *ANTHROPIC, *SCARCE_OUTPUT, *MISTRAL, "ratelimit", "ratelimit-policy"]
    + [f"{prefix}ratelimit-{kind}" for prefix in ("", "x-") for kind in ("limit", "remaining", "reset")]
)


@given(st.dictionaries(names, values))
def test_whatever_is_sent_gives_figures_that_can_be(headers: dict[str, str]) -> None:
    """No header raises, and what comes out is whole, not below zero, and no further than a year away."""
    quota = quota_of(headers, now=NOW)
    if quota is None:
        return
    for limit, left, reset_s in (
        (quota.requests, quota.requests_left, quota.requests_reset_s),
        (quota.tokens, quota.tokens_left, quota.tokens_reset_s),
    ):
        assert left is None or 0 <= left <= (limit or left)
        assert reset_s is None or 0 <= reset_s <= LONGEST_RESET_S

"""Token counts in OpenAI's shape."""

from __future__ import annotations

from mesh.jobs import Usage


def usage_object(usage: Usage) -> dict[str, int]:
    """The `usage` object of an answer or of the last chunk."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }

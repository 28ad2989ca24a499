"""What the parts of the mesh are, in one or two sentences each."""

from __future__ import annotations

from random import Random

DEFINITIONS = {
    "Distributed Electrons": "Distributed Electrons is a mesh of computers that people lend each "
    "other. One program per machine answers requests for text and passes them to a peer.",
    "a mesh": "A mesh is a set of nodes that know each other and share work without a center.",
    "a node": "A node is one computer that runs the daemon and is part of the mesh.",
    "a worker": "A worker is a node that runs jobs on its own hardware for others.",
    "a gateway": "A gateway is the door of the mesh: it takes a request by HTTP and sends it to a "
    "worker. Every node can be one.",
    "a coordinator": "A coordinator is a node that keeps accounts and rules together with others "
    "of its kind. A job does not pass through it.",
    "an edge router": "An edge router only helps new nodes to find the mesh. No job passes "
    "through it.",
    "a relay": "A relay passes sealed bytes between two nodes that cannot reach each other.",
    "a link": "A link is one encrypted connection between two nodes that carries many streams.",
    "a peer": "A peer is another node of the same mesh.",
    "a token": "A token is a piece of text, often a short word. A model writes one at a time.",
    "a model": "A model is a file of numbers and a program that turns text into more text.",
    "a demo model": "A demo model is a tiny model that shows that everything works. It knows "
    "nothing.",
    "a prompt": "A prompt is the text that a model is asked to answer.",
    "a job": "A job is one request for work, such as the answer to one prompt.",
    "a grant": "A grant is a signed note that says which roles a node may play.",
    "a seed": "A seed is a number that fixes the dice, so that the same request gets the same "
    "answer.",
    "an engine": "An engine is the program on a node that runs a model.",
    "temperature": "The temperature says how freely a model chooses its words. At zero it always "
    "takes the likeliest one.",
    "streaming": "Streaming means that the words of an answer are sent as they are made.",
}  # fmt: skip

_REQUESTS = (
    "What is {x}?", "what is {x}", "What is {x}", "Explain {x}.", "Define {x}.",
    "Can you explain what {x} is?", "Tell me what {x} is.", "What does {bare} mean?",
    "What do you mean by {bare}?", "{bare}?", "Please explain {x}.", "What is meant by {bare}?",
)  # fmt: skip


def definition_exchange(rng: Random) -> tuple[str, str]:
    """A question for a word of the mesh and its definition."""
    term = rng.choice(tuple(DEFINITIONS))
    bare = term.removeprefix("an ").removeprefix("a ")
    return rng.choice(_REQUESTS).format(x=term, bare=bare), DEFINITIONS[term]

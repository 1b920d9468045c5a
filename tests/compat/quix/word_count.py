"""Counts the words of a topic of lines, each count written when it changes. Runs in a virtual environment of its own,
until it is killed.

Arguments: bootstrap address, group, state directory, topic of lines, topic of counts.
"""

import sys

from quixstreams import Application, State  # type: ignore[import-not-found]


def main(address: str, group: str, state: str, lines: str, counts: str) -> None:
    application = Application(
        address,
        consumer_group=group,
        auto_offset_reset="earliest",
        state_dir=state,
        commit_interval=0.1,
        processing_guarantee="exactly-once",
        # A static member comes back at once, and does not wait for its dead self's session to end.
        consumer_extra_config={"group.instance.id": "one"},
        producer_extra_config={"transaction.timeout.ms": 5000},
    )
    words = application.dataframe(application.topic(lines, value_deserializer="str"))
    texts = {"value_serializer": "str", "value_deserializer": "str", "key_serializer": "str", "key_deserializer": "str"}
    words = words.apply(str.split, expand=True).group_by(lambda word: word, name="words", **texts)
    words = words.apply(count, stateful=True)
    words.to_topic(application.topic(counts, key_serializer="str", value_serializer="str"))
    application.run()


def count(word: str, state: State) -> str:
    number = int(state.get("count", 0)) + 1
    state.set("count", number)
    return str(number)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The console of a real broker: each address of its API, asked as a browser does; and as a process of its own."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from node.console_client import WAIT_S, ConsoleClient, console
from node.served import ServedBroker

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("console")]
QUIET = {"log_level": 0}
OWN_HTTP = ("--set", "http.listen=127.0.0.1:0")


class Cluster:
    """A broker and the console inside it."""

    def __init__(self, broker: ServedBroker) -> None:
        found = re.search(r" http=(\S+) in ", broker.line)
        assert found is not None, broker.line
        self.http = ConsoleClient(found[1])
        self.servers = f"{broker.address[0]}:{broker.address[1]}"

    def fill(self, topic: str, count: int, partitions: int = 1) -> None:
        """Make a topic whose records are numbered by key and value, and are a second apart."""
        self.http.done("POST", "/api/topics", {"name": topic, "partitions": partitions})
        producer = Producer({"bootstrap.servers": self.servers, "linger.ms": 20, **QUIET})
        for each in range(count):
            producer.produce(
                topic, f"value {each}".encode(), f"key {each}".encode(), each % partitions,
                timestamp=1_000_000_000_000 + each * 1000,
            )  # fmt: skip
        assert producer.flush(WAIT_S) == 0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ServedBroker(tmp_path_factory.mktemp("console"), *OWN_HTTP) as broker:
        yield Cluster(broker)


def offsets(answer: object) -> list[tuple[int, int]]:
    assert isinstance(answer, dict)
    return [(each["partition"], each["offset"]) for each in answer["items"]]


def test_session_overview_and_settings(cluster: Cluster) -> None:
    session = cluster.http.get("/api/session")
    assert (session["is_inside_broker"], session["read_only"], session["figures"]) == (True, False, "metrics")
    overview = cluster.http.get("/api/overview")
    assert [each["id"] for each in overview["brokers"]] == [1]
    assert (overview["under_replicated"], overview["offline"], overview["problems"]) == (0, 0, [])
    assert cluster.http.get("/api/settings")["bootstrap"] == cluster.servers
    status, page = cluster.http.ask_bytes("GET", "/topics/some")
    assert status == 200 and b"<html" in page
    status, told = cluster.http.ask("GET", "/api/nothing")
    assert (status, told["error"]) == (404, "NOT_FOUND")


def test_the_brokers_own_pages_on_a_connection_of_the_console(cluster: Cluster) -> None:
    connection = HTTPConnection(cluster.http.address, timeout=WAIT_S)
    with closing(connection):
        for path, begin in [
            ("/metrics", b"# HELP"),
            ("/api/session", b"{"),
            ("/metrics", b"# HELP"),
            ("/debug", b"/debug"),
        ]:
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == 200 and answer.read().startswith(begin), path


def test_topics_from_creation_to_deletion(cluster: Cluster) -> None:
    http = cluster.http
    made = http.done("POST", "/api/topics", {"name": "made", "partitions": 2, "configs": {"retention.ms": "1000"}})
    assert made == {"name": "made", "partitions": 2}
    status, told = http.ask("POST", "/api/topics", {"name": "made"})
    assert (status, told["error"]) == (409, "TOPIC_ALREADY_EXISTS") and told["cure"]
    found = http.get("/api/topics?q=MADE&sort=records&order=desc")
    assert [(each["name"], each["partitions"], each["records"]) for each in found["items"]] == [("made", 2, 0)]
    topic = http.get("/api/topics/made")
    assert [each["leader"] for each in topic["partitions"]] == [1, 1]
    configs = {each["name"]: each for each in topic["configs"]}
    assert (configs["retention.ms"]["value"], configs["retention.ms"]["source"]) == ("1000", "topic")
    assert configs["retention.ms"]["documentation"] and configs["cleanup.policy"]["default"] == "delete"
    asked = {"set": {"cleanup.policy": "compact"}, "reset": ["retention.ms"]}
    after = {each["name"]: each for each in http.done("PATCH", "/api/topics/made/configs", asked)["configs"]}
    assert (after["cleanup.policy"]["value"], after["retention.ms"]["is_default"]) == ("compact", True)
    status, told = http.ask("PATCH", "/api/topics/made/configs", {"set": {"retention.ms": "soon"}})
    assert (status, told["error"]) == (400, "INVALID_CONFIG")
    assert http.done("POST", "/api/topics/made/partitions", {"count": 3}) == {"partitions": 3}
    assert http.ask("DELETE", "/api/topics/made", {"confirm": "mode"})[0] == 409
    assert http.done("DELETE", "/api/topics/made", {"confirm": "made"}) == {}
    assert http.ask("GET", "/api/topics/made")[0] == 404


def test_deleting_records(cluster: Cluster) -> None:
    cluster.fill("emptied", 10)
    path = "/api/topics/emptied/delete-records"
    done = cluster.http.done("POST", path, {"confirm": "emptied", "before": {"0": 4}})
    assert done == {"partitions": [{"partition": 0, "begin_offset": 4}]}
    assert offsets(cluster.http.get("/api/topics/emptied/messages?from=oldest&limit=1")) == [(0, 4)]
    cluster.http.done("POST", path, {"confirm": "emptied", "before": "end"})
    assert offsets(cluster.http.get("/api/topics/emptied/messages")) == []


def test_pages_of_messages(cluster: Cluster) -> None:
    cluster.fill("paged", 30, partitions=2)
    path, seen, at = "/api/topics/paged/messages?limit=8", [], ""
    for _ in range(10):
        found = cluster.http.get(path + at)
        assert found["is_complete"]
        seen += [each["value"]["text"] for each in found["items"]]
        if found["next"] is None:
            break
        at = "&at=" + ",".join(f"{partition}:{offset}" for partition, offset in found["next"].items())
    assert seen == [f"value {each}" for each in reversed(range(30))]
    first = cluster.http.get("/api/topics/paged/messages?from=time&time_ms=1000000020000&limit=3")
    assert [each["key"]["text"] for each in first["items"]] == ["key 20", "key 21", "key 22"]
    assert offsets(cluster.http.get("/api/topics/paged/messages?from=offset&offset=13&partition=1")) == [
        (1, 13),
        (1, 14),
    ]
    for wrong in ("limit=501", "from=never", "from=offset", "partition=x", "at=1"):
        assert cluster.http.ask("GET", f"/api/topics/paged/messages?{wrong}")[0] == 400, wrong
    assert cluster.http.ask("GET", "/api/topics/paged/messages?partition=2")[0] == 404
    assert cluster.http.ask("GET", "/api/topics/missing/messages")[0] == 404


def test_what_is_produced_is_shown(cluster: Cluster) -> None:
    http = cluster.http
    http.done("POST", "/api/topics", {"name": "shown", "partitions": 1})
    sent = [
        {"key": "k", "value": '{"a": 1}', "headers": [{"name": "h", "value": "ff00", "encoding": "hex"}]},
        {"key": None, "value": "AP8B", "value_encoding": "base64", "partition": 0, "timestamp_ms": 1234},
        {"key": "gone", "value": None},
        {"key": "long", "value": "ü" * 5000},
    ]
    for each in sent:
        http.done("POST", "/api/topics/shown/messages", each)
    found = http.get("/api/topics/shown/messages?from=oldest")["items"]
    assert (found[0]["value"]["format"], found[0]["headers"][0]["value"]["text"]) == ("json", "ff 00")
    assert (found[1]["key"], found[1]["value"]["text"], found[1]["timestamp_ms"]) == (None, "00 ff 01", 1234)
    assert found[2]["value"] is None
    assert (len(found[3]["value"]["text"]), found[3]["value"]["is_cut"], found[3]["value"]["size"]) == (
        4096,
        True,
        10000,
    )
    whole = http.get("/api/topics/shown/messages/0/3")["value"]
    assert (len(whole["text"]), whole["is_cut"]) == (5000, False)
    assert http.ask_bytes("GET", "/api/topics/shown/messages/0/1/value") == (200, b"\x00\xff\x01")
    assert http.ask("GET", "/api/topics/shown/messages/0/1/key")[0] == 404
    assert http.ask("GET", "/api/topics/shown/messages/0/99")[0] == 404
    assert http.ask("POST", "/api/topics/shown/messages", {"value": "zz", "value_encoding": "hex"})[0] == 400
    assert http.ask("POST", "/api/topics/shown/messages", {"value": "x" * (1 << 20) + "x"})[0] == 413


def test_search(cluster: Cluster) -> None:
    cluster.fill("searched", 3000, partitions=2)

    def search(query: str) -> tuple[list[str], dict[str, object]]:
        events = list(cluster.http.events(f"/api/topics/searched/search?{query}"))
        name, done = events[-1]
        assert name == "done", events[-1]
        return [each["value"]["text"] for kind, each in events if kind == "hit"], done

    hits, done = search("query=VALUE%20299&from=newest")
    assert hits == [f"value {each}" for each in [*range(2999, 2989, -1), 299]]
    assert (done["scanned"], done["why"], done["next"]) == (3000, "end", None)
    hits, done = search("query=VALUE%20299&case=true")
    assert hits == []
    hits, done = search("query=%5Ekey%20%5B12%5D7%24&regex=true&in=key&from=oldest")
    assert hits == ["value 17", "value 27"]
    hits, done = search("query=value&limit=4&from=oldest")
    assert (hits, done["why"]) == ([f"value {each}" for each in range(0, 8, 2)], "limit") or done["why"] == "limit"
    assert len(hits) == 4
    hits, done = search("query=nowhere&max_records=1000")
    assert (hits, done["why"]) == ([], "max_records")
    assert cluster.http.ask("GET", "/api/topics/searched/search?query=(&regex=true")[0] == 400


def test_a_search_that_goes_on_finds_all_once(cluster: Cluster) -> None:
    cluster.fill("continued", 500, partitions=3)
    for beginning in ("newest", "oldest"):
        seen, at = [], ""
        for _ in range(50):
            events = list(
                cluster.http.events(f"/api/topics/continued/search?query=7&in=value&limit=7&from={beginning}{at}")
            )
            seen += [each["value"]["text"] for kind, each in events if kind == "hit"]
            if events[-1][1]["next"] is None:
                break
            at = "&at=" + ",".join(f"{each}:{offset}" for each, offset in events[-1][1]["next"].items())
        assert sorted(seen) == sorted(f"value {each}" for each in range(500) if "7" in str(each)), beginning


def test_a_tail_shows_what_arrives(cluster: Cluster) -> None:
    cluster.fill("followed", 5)
    with closing(cluster.http.events("/api/topics/followed/tail")) as events:
        assert next(events) == ("started", {"partitions": {"0": 5}})
        cluster.http.done("POST", "/api/topics/followed/messages", {"value": "new", "count": 250})
        seen = skipped = 0
        while seen + skipped < 250:
            name, told = next(events)
            assert name == "messages" and len(told["items"]) <= 100
            seen, skipped = seen + len(told["items"]), skipped + told["skipped"]
        assert told["items"][-1]["offset"] == 254


def test_groups_and_resets(cluster: Cluster) -> None:
    http = cluster.http
    cluster.fill("consumed", 20, partitions=2)
    consumer = Consumer({"bootstrap.servers": cluster.servers, "group.id": "billing", "auto.offset.reset": "earliest",
                         "enable.auto.commit": False, **QUIET})  # fmt: skip
    try:
        consumer.subscribe(["consumed"])
        assert consumer.consume(1, WAIT_S), "nothing arrived"
        places = [TopicPartition("consumed", 0, 4), TopicPartition("consumed", 1, 10)]
        consumer.commit(offsets=places, asynchronous=False)
        listed = http.get("/api/groups?q=bill")["items"]
        assert [(each["group"], each["state"], each["members"], each["lag"]) for each in listed] == [
            ("billing", "Stable", 1, 6)
        ]
        group = http.get("/api/groups/billing")
        assert [(each["partition"], each["offset"], each["lag"]) for each in group["offsets"]] == [
            (0, 4, 6),
            (1, 10, 0),
        ]
        assert (group["can_reset"], group["members"][0]["assignment"][0]["partitions"]) == (False, [0, 1])
        assert "joined" in group["last_rebalance"]["reason"]
        told = http.get("/api/topics/consumed/consumers")
        assert [(each["group"], each["lag"]) for each in told["items"]] == [("billing", 6)]
        asked = {"to": "earliest", "apply": True, "confirm": "billing", "expected": {"consumed": {"0": 0}}}
        assert http.ask("POST", "/api/groups/billing/reset", asked)[0] == 409
    finally:
        consumer.close()
    http.until("/api/groups/billing", lambda found: found["can_reset"])
    _reset(http)
    lag = http.until("/api/groups/billing/lag", lambda found: found["total"])
    assert {(each["topic"], each["partition"]) for each in lag["series"]} == {("consumed", 0), ("consumed", 1)}
    assert http.done("DELETE", "/api/groups/billing/offsets", {"confirm": "billing", "topics": ["consumed"]}) == {}
    assert http.get("/api/groups/billing")["offsets"] == []
    assert http.done("DELETE", "/api/groups/billing", {"confirm": "billing"}) == {}
    assert http.ask("GET", "/api/groups/billing")[1]["error"] == "GROUP_ID_NOT_FOUND"


def _reset(http: ConsoleClient) -> None:
    def preview(**asked: object) -> dict[str, int]:
        found = http.done("POST", "/api/groups/billing/reset", asked)
        assert found["applied"] is False
        return {str(each["partition"]): each["to"] for each in found["changes"]}

    assert preview(to="latest") == {"0": 10, "1": 10}
    assert preview(to="shift", shift=-3) == {"0": 1, "1": 7}
    assert preview(to="offset", offset=99, partitions={"consumed": [1]}) == {"1": 10}
    assert preview(to="time", time_ms=1_000_000_010_000) == {"0": 5, "1": 5}
    targets = preview(to="earliest")
    asked = {"to": "earliest", "apply": True, "expected": {"consumed": targets}}
    assert http.ask("POST", "/api/groups/billing/reset", asked)[0] == 409
    http.done("POST", "/api/groups/billing/reset", asked | {"confirm": "billing"})
    assert [each["offset"] for each in http.get("/api/groups/billing")["offsets"]] == [0, 0]


def test_transactions(cluster: Cluster) -> None:
    http = cluster.http
    http.done("POST", "/api/topics", {"name": "paid", "partitions": 1})
    producer = Producer({"bootstrap.servers": cluster.servers, "transactional.id": "payments/1", **QUIET})
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    producer.produce("paid", b"open")
    assert producer.flush(WAIT_S) == 0
    listed = http.get("/api/transactions?q=payments")["items"]
    assert [(each["transactional_id"], each["state"]) for each in listed] == [("payments/1", "Ongoing")]
    one = http.get("/api/transactions/id/payments%2F1")
    assert one["partitions"] == [{"topic": "paid", "partition": 0}]
    (found,) = [each for each in http.get("/api/transactions/open")["items"] if each["topic"] == "paid"]
    assert offsets(http.get("/api/topics/paid/messages")) == []
    assert offsets(http.get("/api/topics/paid/messages?isolation=read_uncommitted")) == [(0, 0)]
    assert http.ask("POST", "/api/transactions/abort", found)[0] == 409
    assert http.done("POST", "/api/transactions/abort", found | {"confirm": "paid-0"}) == {}
    assert [each for each in http.get("/api/transactions/open")["items"] if each["topic"] == "paid"] == []


def test_brokers(cluster: Cluster) -> None:
    (broker,) = cluster.http.get("/api/brokers")["items"]
    assert broker["is_controller"] and broker["size_bytes"] is not None
    one = cluster.http.get("/api/brokers/1")
    assert one["log_dirs"][0]["error"] is None
    assert all(each["value"] is None for each in one["configs"] if each["is_sensitive"])
    asked = {"set": {"log.cleaner.threads": "1"}, "confirm": "1"}
    after = {each["name"]: each for each in cluster.http.done("PATCH", "/api/brokers/1/configs", asked)["configs"]}
    assert after["log.cleaner.threads"]["value"] == "1"
    assert cluster.http.ask("GET", "/api/brokers/9")[0] == 404


def test_live_figures_and_profiles(cluster: Cluster) -> None:
    cluster.http.done("POST", "/api/topics", {"name": "lively", "partitions": 1})
    with closing(cluster.http.events("/api/live")) as events:
        name, first = next(events)
        assert name == "figures" and first["source"] == "metrics"
        cluster.http.done("POST", "/api/topics/lively/messages", {"value": "x", "count": 100})
        for _, told in events:
            if any(each["name"] == "lively" for each in told["topics"]):
                break
    assert told["records_in_per_s"] > 0 and told["produce_ms"]["p50"] > 0 and told["memory_bytes"] > 1_000_000
    with closing(cluster.http.events("/api/live")) as events:
        assert len(next(events)[1]["past"]) >= 1
    profile = cluster.http.get("/api/profiles/cpu?seconds=1")
    assert (profile["kind"], profile["unit"], profile["root"]["name"]) == ("cpu", "ns", "all")
    assert "console" in cluster.http.get("/api/profiles/tasks")["text"]
    assert cluster.http.ask("GET", "/api/profiles/nothing")[0] == 404


def test_a_write_needs_the_token_and_its_own_site(cluster: Cluster) -> None:
    http = cluster.http
    wrong: list[dict[str, str]] = [
        {"X_Tailrace_Token": "0"},
        {"Origin": "http://evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Content_Type": "text/plain"},
        {"Host": "evil.example"},
    ]
    for headers in wrong:
        status, told = http.ask("POST", "/api/topics", {"name": "stolen"}, **headers)
        assert (status, told["error"]) == (403, "FORBIDDEN"), headers
    assert http.get("/api/topics?q=stolen")["items"] == []


def test_a_process_of_its_own_that_only_reads(cluster: Cluster) -> None:
    with console("--bootstrap", cluster.servers, "--read-only") as (process, http):
        session = http.get("/api/session")
        assert (session["read_only"], session["figures"], session["is_inside_broker"]) == (True, "offsets", False)
        assert http.get("/api/overview")["kafka"] == "Tailrace", "by a setting that it alone has"
        assert http.ask("POST", "/api/topics", {"name": "x"})[1]["error"] == "READ_ONLY"
        assert http.ask("GET", "/api/profiles/cpu")[0] == 501
        with closing(http.events("/api/live")) as events:
            name, told = next(events)
            assert (name, told["source"]) == ("figures", "offsets")
            process.send_signal(signal.SIGTERM)  # a browser that stays does not keep it
            assert process.wait(WAIT_S) == 0


def test_no_broker_answers() -> None:
    with console("--bootstrap", "127.0.0.1:1") as (_, http):
        status, told = http.ask("GET", "/api/overview")
        assert (status, told["error"]) == (503, "UNREACHABLE") and "127.0.0.1:1" in told["cause"]
        with closing(http.events("/api/live")) as events:
            assert next(events)[0] == "unreachable"


def test_a_broker_without_console(tmp_path: Path) -> None:
    with ServedBroker(tmp_path, *OWN_HTTP, "--set", "http.console=off") as broker:
        http = ConsoleClient(broker.line.split(" http=")[1].split()[0])
        assert http.ask_bytes("GET", "/api/session")[0] == 404
        assert b"/metrics" in http.ask_bytes("GET", "/")[1]


def test_a_broker_stops_while_somebody_looks(tmp_path: Path) -> None:
    with ServedBroker(tmp_path, *OWN_HTTP) as broker:
        http = ConsoleClient(broker.line.split(" http=")[1].split()[0])
        with closing(http.events("/api/live")) as events:
            next(events)
            assert broker.stop() == 0
        assert broker.process.stderr is not None
        assert "Traceback" not in broker.process.stderr.read()


def test_reading_json_as_it_is(cluster: Cluster) -> None:
    """Nothing of an answer is cached or sniffed by a browser."""
    connection = HTTPConnection(cluster.http.address, timeout=WAIT_S)
    with closing(connection):
        connection.request("GET", "/api/session")
        answer = connection.getresponse()
        assert json.loads(answer.read())
        assert answer.getheader("content-type") == "application/json"
        assert (answer.getheader("cache-control"), answer.getheader("x-content-type-options")) == (
            "no-store",
            "nosniff",
        )

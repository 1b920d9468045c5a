"""More of the console in a real browser: the page a broker serves itself, time, expressions, schemas, memory, members.

The console here is the one within `tailrace serve`, but where an option of `tailrace console` is what is looked at.
"""

from __future__ import annotations

import json
import re
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from playwright.sync_api import Browser, Page, expect

from compat.console_browser import WAIT_S, ServedConsole, Tab, chromium
from harness.brokers import free_ports
from node.served import ServedBroker

pytestmark = [pytest.mark.compat, pytest.mark.timeout(240)]

HOUR_MS = 3_600_000
AVRO = {
    "type": "record",
    "name": "Order",
    "fields": [{"name": "id", "type": "long"}, {"name": "city", "type": "string"}],
}
AVRO_ORDER = b"\x00" + struct.pack(">I", 7) + b"\x54\x08Oslo"
"""{"id": 42, "city": "Oslo"} with schema 7, as Confluent's serializers frame it."""


class Served:
    """A broker, and the console at its own HTTP address."""

    def __init__(self, broker: ServedBroker) -> None:
        self.bootstrap = f"127.0.0.1:{broker.address[1]}"
        self.url = "http://" + broker.line.partition(" http=")[2].partition(" ")[0]
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})

    def create(self, name: str, partitions: int = 1) -> None:
        for future in self.admin.create_topics([NewTopic(name, partitions)]).values():
            future.result(WAIT_S)

    def produce(self, topic: str, *values: bytes, first_ms: int = 0, step_ms: int = 0) -> None:
        """Records with these values, with timestamps from `first_ms` on where that is given."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5})
        for number, value in enumerate(values):
            producer.produce(topic, value, timestamp=first_ms + number * step_ms if first_ms else 0)
        assert producer.flush(WAIT_S) == 0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with ServedBroker(tmp_path_factory.mktemp("broker"), "--set", "http.listen=127.0.0.1:0") as broker:
        yield Served(broker)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser, served: Served) -> Iterator[Tab]:
    tab = Tab(browser, served.url)
    yield tab
    tab.close()


@contextmanager
def registry() -> Iterator[str]:
    """The address of a schema registry that knows schema 7."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"schema": json.dumps(AVRO)}).encode()
            self.send_response(200 if self.path == "/schemas/ids/7" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is told."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(WAIT_S)
    server.server_close()


@contextmanager
def member(bootstrap: str, group: str, topic: str) -> Iterator[None]:
    """A member of a group that has read a record and committed it, and stays."""
    settings = {
        "group.id": group,
        "client.id": "worker-1",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    consumer = Consumer({"bootstrap.servers": bootstrap, **settings})
    consumer.subscribe([topic])
    record = consumer.poll(WAIT_S)
    assert record is not None and record.error() is None
    consumer.commit(record, asynchronous=False)
    ended = threading.Event()

    def stay() -> None:
        while not ended.wait(0.05):
            consumer.poll(0)
        consumer.close()

    thread = threading.Thread(target=stay)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(WAIT_S)


def chart_span_ms(page: Page) -> float:
    """How long the time axis of the first chart is."""
    return float(
        page.evaluate("""async () => {
            const { echarts } = await import(document.querySelector('meta[name=library-echarts]').content)
            const axis = echarts.getInstanceByDom(document.querySelector('.live-chart .canvas')).getOption().xAxis[0]
            return axis.max - axis.min
        }""")
    )


def test_a_broker_serves_its_own_console_which_shows_and_changes(tab: Tab) -> None:
    page = tab.open("/")
    expect(page.locator(".page-head")).to_contain_text("Tailrace 0.")
    expect(page.locator(".live-state")).to_have_text("Live")
    expect(page.locator(".live-chart canvas")).to_have_count(4)
    tab.open("/topics")
    page.keyboard.press("n")
    page.get_by_label("Name", exact=True).fill("own")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", name="own")).to_be_visible()
    page.get_by_role("button", name="Produce", exact=True).click()
    page.locator(".q-dialog").get_by_label("Value", exact=True).fill("from the broker's own page")
    page.locator(".q-dialog").get_by_role("button", name="Produce", exact=True).click()
    expect(page.locator("tr.message")).to_contain_text("from the broker's own page")


def test_records_are_found_by_time_and_by_an_expression(tab: Tab, served: Served) -> None:
    served.create("hours")
    first_ms = int(time.time() * 1000) // HOUR_MS * HOUR_MS - 20 * HOUR_MS
    values = [b"hour %d" % number for number in range(12)]
    served.produce("hours", *values, first_ms=first_ms, step_ms=HOUR_MS)
    wanted = datetime.fromtimestamp((first_ms + 7 * HOUR_MS) / 1000)
    page = tab.open("/topics/hours")
    page.get_by_label("From", exact=True).click()
    page.get_by_role("option", name="Time", exact=True).click()
    expect(page.get_by_text("Choose a time to start at.")).to_be_visible()
    page.get_by_label("Local time").fill(wanted.strftime("%Y-%m-%dT%H:%M:%S"))
    expect(page.locator("tr.message")).to_have_count(5)
    expect(page.locator("tr.message").first).to_contain_text("hour 7")
    tab.open("/topics/hours")
    page.get_by_label("How to search").click()
    page.get_by_text("Regular expression").click()
    page.keyboard.press("Escape")
    page.get_by_label("Search keys, values and headers").fill("^hour [34]$")
    page.keyboard.press("Enter")
    expect(page.locator("tr.message")).to_have_count(2)
    expect(page.locator(".reading-state")).to_contain_text("2 found in 12")


def test_a_record_with_a_schema_is_decoded(browser: Browser, served: Served) -> None:
    served.create("typed")
    served.produce("typed", AVRO_ORDER)
    with registry() as address, ServedConsole(served.bootstrap, "--schema-registry", address) as console:
        tab = Tab(browser, console.url)
        page = tab.open("/topics/typed")
        expect(page.locator("tr.message")).to_contain_text("Oslo")
        page.locator("tr.message").click()
        expect(page.locator(".shown-bytes pre")).to_contain_text('"id": 42')
        expect(page.locator(".shown-bytes")).to_contain_text("Order")
        tab.close()


def test_memory_and_allocations_are_drawn_and_watching_ends(tab: Tab) -> None:
    page = tab.open("/profiles?kind=heap")
    page.get_by_role("button", name="Take profile").click()
    expect(page.locator(".facts").first).to_be_visible()
    page.get_by_role("button", name="Stop watching").click()
    expect(page.get_by_text("Memory is watched no more")).to_be_visible()
    page.get_by_role("button", name="Allocations").click()
    page.get_by_label("For", exact=True).click()
    page.get_by_role("option", name="2 s", exact=True).click()
    page.get_by_role("button", name="Take profile").click()
    expect(page.locator(".flame-graph canvas")).to_be_visible()
    expect(page.locator(".rows")).to_contain_text("tailrace")


def test_a_group_shows_its_members_and_its_lag_over_time_and_is_not_reset_under_them(tab: Tab, served: Served) -> None:
    served.create("work")
    served.produce("work", *[b"job"] * 10)
    with member(served.bootstrap, "workers", "work"):
        page = tab.open("/groups/workers")
        tiles = page.locator(".figure-tile .value")
        expect(tiles.nth(0)).to_have_text("9")
        expect(tiles.nth(1)).to_have_text("1")
        expect(page.locator(".card", has_text="Members").last).to_contain_text("worker-1")
        expect(page.get_by_role("button", name="Reset offsets")).to_be_disabled()
        expect(page.get_by_role("button", name="Delete")).to_be_disabled()
        expect(page.locator(".live-chart .key b")).to_have_text("9")
        assert 60_000 <= chart_span_ms(page) <= HOUR_MS
        tab.open("/topics/work/consumers")
        expect(page.locator(".rows")).to_contain_text("workers")
    tab.open("/groups/workers")
    expect(page.get_by_role("button", name="Reset offsets")).to_be_enabled()


def test_a_setting_of_a_broker_is_changed_and_put_back(tab: Tab) -> None:
    page = tab.open("/brokers/1")
    row = page.locator("table.settings tr", has_text="log.cleaner.backoff.ms")
    page.get_by_label("Search settings").fill("log.cleaner.backoff.ms")
    page.get_by_label("Change log.cleaner.backoff.ms", exact=True).click()
    page.get_by_label("Value", exact=True).fill("20000")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(row).to_contain_text("20000 20 s")
    page.get_by_label("Change log.cleaner.backoff.ms", exact=True).click()
    page.get_by_role("button", name="Back to the default").click()
    expect(row).not_to_contain_text("20000")


def test_who_may_only_read_is_offered_no_change(browser: Browser, served: Served) -> None:
    served.create("looked-at")
    with ServedConsole(served.bootstrap, "--read-only") as console:
        tab = Tab(browser, console.url)
        page = tab.open("/topics")
        expect(page.get_by_role("banner").get_by_text("read-only")).to_be_visible()
        expect(page.get_by_role("button", name="Create topic")).to_be_disabled()
        page.get_by_role("link", name="looked-at").click()
        expect(page.get_by_role("button", name="Produce", exact=True)).to_be_disabled()
        tab.open("/brokers/1")
        expect(page.locator("table.settings")).to_contain_text("advertised.listeners")
        expect(page.get_by_label(re.compile("^Change "))).to_have_count(0)
        tab.close()


def test_a_cluster_that_goes_away_under_a_page_is_told_and_so_is_its_return(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (port,) = free_ports(1)
    data = tmp_path_factory.mktemp("goes")
    with ServedBroker(data, listen=f"127.0.0.1:{port}") as broker, ServedConsole(f"127.0.0.1:{port}") as console:
        tab = Tab(browser, console.url)
        page = tab.open("/")
        expect(page.locator(".live-state")).to_have_text("Live")
        broker.stop()
        expect(page.locator(".live-state")).to_have_text("Cluster unreachable")
        expect(page.get_by_role("alert")).to_contain_text(f"127.0.0.1:{port}")
        with ServedBroker(data, listen=f"127.0.0.1:{port}"):
            expect(page.locator(".live-state")).to_have_text("Live")
            expect(page.get_by_role("alert")).to_have_count(0)
        tab.complaints.clear()  # The browser notes each request that was answered 503; the page has told it.
        tab.close()

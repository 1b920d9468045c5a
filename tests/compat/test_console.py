"""The console in a real browser, on a running broker with data: each page, each action, no complaint of the browser.

`TAILRACE_SCREENSHOTS=1` writes the pictures of README and docs.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from playwright.sync_api import Browser, Page, expect

from compat.console_browser import PHONE, WAIT_S, ServedConsole, Tab, chromium, picture
from compat.many_records import fill, value_at
from harness.brokers import free_ports
from node.served import ServedBroker
from tailrace.records.compression import Codec

pytestmark = [pytest.mark.compat, pytest.mark.timeout(240)]

MANY_TOPICS = 10_000
RECORDS = 10_000_000
CODECS = (Codec.NONE, Codec.GZIP, Codec.LZ4, Codec.ZSTD)
"""Of the large topic's partitions, one each."""

READ_S, READ_AND_REST_S = 9, 15
CITIES = ("Oslo", "Bergen", "Aarhus", "Turku", "Uppsala")
VIEWS = (
    "/",
    "/topics",
    "/topics/orders",
    "/topics/orders/partitions",
    "/topics/orders/consumers",
    "/topics/orders/settings",
)
VIEWS += ("/groups", "/groups/billing", "/transactions", "/brokers", "/brokers/1", "/profiles", "/settings")


def order(number: int) -> bytes:
    """A record as a shop would write it."""
    items = [
        {"sku": f"SKU-{number * 7 % 90 + at}", "quantity": at + 1, "price": 9.5 * (at + 1)}
        for at in range(number % 3 + 1)
    ]
    customer = {"id": number * 31 % 500, "city": CITIES[number % len(CITIES)]}
    return json.dumps(
        {"order_id": 1000 + number, "customer": customer, "items": items, "paid": number % 4 > 0, "note": None}
    ).encode()


class Cluster:
    """A broker with data, and the console that looks at it."""

    def __init__(self, broker: ServedBroker, console: ServedConsole) -> None:
        self.broker = broker
        self.url = console.url
        self.bootstrap = f"127.0.0.1:{broker.address[1]}"
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})

    def create(self, *topics: NewTopic) -> None:
        for future in self.admin.create_topics(list(topics), request_timeout=WAIT_S).values():
            future.result(WAIT_S)

    def producer(self, **settings: object) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "linger.ms": 20,
                "queue.buffering.max.messages": 1_000_000,
                **settings,
            }
        )

    def commit(self, group: str, topic: str, count: int) -> None:
        """Read so many records as a group, and leave it."""
        settings = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
        consumer = Consumer({"bootstrap.servers": self.bootstrap, **settings})
        consumer.subscribe([topic])
        seen = 0
        while seen < count:
            records = consumer.consume(count - seen, WAIT_S)
            assert records, f"{seen} of {count} records came"
            seen += len(records)
        consumer.commit(asynchronous=False)
        consumer.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ServedBroker(tmp_path_factory.mktemp("broker"), "--set", "http.listen=127.0.0.1:0") as broker:
        http = broker.line.partition(" http=")[2].partition(" ")[0]
        with ServedConsole(f"127.0.0.1:{broker.address[1]}", "--metrics", f"http://{http}") as console:
            cluster = Cluster(broker, console)
            cluster.create(
                NewTopic("orders", 6), NewTopic("payments", 3), NewTopic("audit-log", 1), NewTopic("spare", 2)
            )
            producer = cluster.producer()
            for number in range(2000):
                headers = {"trace": f"{number * 2654435761 % 2**32:08x}"}
                producer.produce("orders", order(number), key=f"customer-{number * 31 % 500}", headers=headers)
            producer.produce("audit-log", b"\x00\xff\x10binary\x01", key=b"\xfe\x01")
            producer.produce("audit-log", None, key="gone")
            producer.produce("audit-log", "x" * 9000, key="large")
            producer.produce("audit-log", "<img src=x onerror=alert(1)>", key="<b>markup</b>")
            assert producer.flush(WAIT_S) == 0
            cluster.commit("billing", "orders", 1500)
            yield cluster


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser, cluster: Cluster) -> Iterator[Tab]:
    tab = Tab(browser, cluster.url)
    yield tab
    tab.close()


@pytest.fixture
def used_all_the_time(cluster: Cluster) -> Iterator[None]:
    """Clicks go on being written and read while the test looks; bounded by its end."""
    ended = threading.Event()
    threads = [threading.Thread(target=each, args=(cluster, ended)) for each in (write_clicks, read_clicks)]
    for thread in threads:
        thread.start()
    yield
    ended.set()
    for thread in threads:
        thread.join(WAIT_S)


def write_clicks(cluster: Cluster, ended: threading.Event) -> None:
    """Some a tenth of a second."""
    producer = cluster.producer()
    number = 0
    while not ended.wait(0.1):
        for _ in range(10 + number % 17):
            producer.produce("clicks", order(number), key=f"customer-{number % 500}")
            number += 1
        producer.poll(0)
    producer.flush(WAIT_S)


def read_clicks(cluster: Cluster, ended: threading.Event) -> None:
    """As a group that rests a while again and again, so that it falls behind and catches up."""
    settings = {"group.id": "dashboard", "client.id": "dashboard-1", "topic.metadata.refresh.interval.ms": 1000}
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "auto.commit.interval.ms": 500, **settings})
    consumer.subscribe(["clicks"])
    while not ended.wait(0.02):
        if time.monotonic() % READ_AND_REST_S < READ_S:
            consumer.consume(20, 0.1)
    consumer.close()


def type_name_and_confirm(page: Page, name: str, action: str) -> None:
    """A dialog's action is closed until the thing's name is typed."""
    dialog = page.locator(".q-dialog")
    button = dialog.get_by_role("button", name=action, exact=True)
    expect(button).to_be_disabled()
    dialog.locator("input").fill(name[:-1])
    expect(button).to_be_disabled()
    dialog.locator("input").fill(name)
    button.click()
    expect(dialog).to_have_count(0)


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_the_charts_of_the_overview_move(tab: Tab, used_all_the_time: None) -> None:
    page = tab.open("/")
    expect(page.locator(".figure-tile").first.locator(".value")).to_have_text(re.compile(r"^[1-9]"))
    canvas = page.locator(".live-chart canvas")
    expect(canvas).to_have_count(4)
    drawn = "() => [...document.querySelectorAll('.live-chart canvas')].map(canvas => canvas.toDataURL())"
    before = page.evaluate(drawn)
    page.wait_for_function(f"before => ({drawn})().every((now, at) => now !== before[at])", arg=before)
    expect(page.get_by_text("Every partition has a leader")).to_be_visible()
    expect(page.locator(".rows").get_by_role("link", name="clicks")).to_be_visible()
    picture(page, "overview", after_ms=75_000)
    tab.open("/groups/dashboard")
    expect(page.locator(".card", has_text="Members").last).to_contain_text("dashboard-1")
    expect(page.locator(".live-chart .key b")).to_have_text(re.compile(r"^\d"))
    picture(page, "group", after_ms=3_000)


def test_a_record_is_opened_as_json_with_its_headers(tab: Tab) -> None:
    page = tab.open("/topics/orders?from=oldest&partition=0")
    page.locator("tr.message").first.click()
    details = page.locator(".message-details")
    expect(details.locator(".json-name").first).to_have_text('"order_id"')
    picture(page, "messages")
    details.get_by_role("tab", name=re.compile("^Headers")).click()
    expect(details.get_by_text("trace")).to_be_visible()
    details.get_by_role("button", name="Copy record").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    copied = json.loads(page.evaluate("() => navigator.clipboard.readText()"))
    assert (copied["topic"], copied["partition"], copied["offset"]) == ("orders", 0, 0)
    assert json.loads(copied["value"])["order_id"] >= 1000


def test_binary_empty_large_and_malicious_records_are_shown_as_what_they_are(tab: Tab) -> None:
    page = tab.open("/topics/audit-log?from=oldest")
    messages = page.locator("tr.message")
    expect(messages).to_have_count(4)
    messages.nth(0).click()
    expect(page.locator(".shown-bytes pre")).to_contain_text("00 ff 10 62 69 6e 61 72 79 01")
    expect(page.locator(".shown-bytes pre")).to_contain_text("···binary·")
    messages.nth(0).click()
    expect(messages.nth(1)).to_contain_text("tombstone")
    messages.nth(2).click()
    page.get_by_role("button", name="Show all of it").click()
    expect(page.locator(".shown-bytes pre")).to_have_text("x" * 9000)
    messages.nth(2).click()
    expect(messages.nth(3)).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("td.preview img").count() == 0
    with page.expect_download() as download:
        messages.nth(0).click()
        page.get_by_label("Download the value as it is").click()
    assert download.value.path().read_bytes() == b"\x00\xff\x10binary\x01"


def test_a_search_finds_what_it_is_asked_for_and_the_address_keeps_it(tab: Tab) -> None:
    page = tab.open("/topics/orders")
    expect(page.locator("tr.message")).to_have_count(50)
    page.keyboard.press("/")
    page.keyboard.type('"order_id": 1234,')
    page.keyboard.press("Enter")
    expect(page.locator("tr.message")).to_have_count(1)
    expect(page.locator(".reading-state")).to_contain_text("1 found in 2,")
    assert "query=" in page.url
    tab.open(page.url)
    expect(page.locator("tr.message")).to_have_count(1)
    page.get_by_label("Search keys, values and headers").fill("no such text")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing found")).to_be_visible()


def test_reading_starts_at_an_offset_and_goes_on(tab: Tab) -> None:
    page = tab.open("/topics/orders?from=offset&offset=100&partition=1")
    expect(page.locator("tr.message")).to_have_count(50)
    expect(page.locator("tr.message").first.locator("td").nth(2)).to_have_text("100")
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("tr.message")).to_have_count(100)
    expect(page.locator("tr.message").last.locator("td").nth(2)).to_have_text("199")


def test_a_live_tail_shows_what_arrives_and_pauses(tab: Tab, cluster: Cluster) -> None:
    page = tab.open("/topics/payments")
    expect(page.get_by_text("No messages here")).to_be_visible()
    page.get_by_role("button", name="Live").click()
    expect(page.locator(".reading-state")).to_contain_text("Waiting for records")
    producer = cluster.producer()

    def pay(number: int) -> None:
        producer.produce("payments", json.dumps({"paid": number}), partition=0)
        assert producer.flush(WAIT_S) == 0

    # What is written between the question and the tail's start is not of the tail: written again until it shows.
    for number in range(100):
        pay(number)
        page.wait_for_timeout(300)
        if page.locator("tr.message").count():
            break
    expect(page.locator("tr.message").first).to_contain_text('"paid"')
    page.get_by_role("button", name="Pause").click()
    pay(7_777_777)  # of no time of day, which the rows tell to the millisecond
    expect(page.locator(".reading-state")).to_contain_text(re.compile(r"[1-9]\d* waiting"))
    expect(page.get_by_text("7777777")).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("tr.message").first).to_contain_text("7777777")


def test_a_topic_is_made_written_to_changed_emptied_and_deleted(tab: Tab) -> None:
    tab.forgiven += ["/topics/made-here"]
    page = tab.open("/topics")
    page.get_by_role("button", name="Create topic").click()
    page.get_by_label("Name", exact=True).fill("no spaces allowed")
    expect(page.get_by_role("button", name="Create", exact=True)).to_be_disabled()
    page.get_by_label("Name", exact=True).fill("made-here")
    page.get_by_label("Partitions", exact=True).fill("2")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", name="made-here")).to_be_visible()

    page.get_by_role("button", name="Produce", exact=True).click()
    dialog = page.locator(".q-dialog")
    dialog.get_by_label("Key", exact=True).fill("first")
    dialog.get_by_label("Value", exact=True).fill('{"hello": "world"}')
    dialog.get_by_role("button", name="Header").click()
    dialog.get_by_label("Header", exact=True).last.fill("who")
    dialog.get_by_label("Its value").fill("me")
    dialog.get_by_role("button", name="Produce", exact=True).click()
    expect(page.locator("tbody.marked tr.message")).to_contain_text("world")

    page.get_by_role("link", name="Settings", exact=True).last.click()
    page.get_by_label("Search settings").fill("retention.ms")
    page.get_by_label("Change retention.ms", exact=True).click()
    page.get_by_label("Value", exact=True).fill("3600000")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator("table.settings")).to_contain_text("3600000 1 h")

    page.get_by_label("More", exact=True).click()
    page.get_by_text("Add partitions…").click()
    page.get_by_label("Partitions in all").fill("4")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".page-head")).to_contain_text("4 partitions")

    page.get_by_label("More", exact=True).click()
    page.get_by_text("Delete all records…").click()
    type_name_and_confirm(page, "made-here", "Delete records")
    expect(page.locator(".page-head")).to_contain_text("0 records")

    page.get_by_label("More", exact=True).click()
    page.get_by_text("Delete topic…").click()
    type_name_and_confirm(page, "made-here", "Delete topic")
    page.wait_for_url("**/topics")
    expect(page.locator(".listing").get_by_text("made-here")).to_have_count(0)


def test_a_group_s_offsets_are_reset_after_a_preview_and_the_group_deleted(tab: Tab, cluster: Cluster) -> None:
    cluster.commit("weekly", "orders", 300)
    tab.forgiven += ["/groups/weekly", "/groups/weekly/lag?window_ms=3600000"]
    page = tab.open("/groups")
    page.get_by_role("link", name="weekly").click()
    expect(page.locator(".figure-tile").first).to_contain_text("records not read yet")
    page.get_by_role("button", name="Reset offsets").click()
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".q-dialog")).to_contain_text("would move")
    type_name_and_confirm(page, "weekly", "Reset offsets")
    committed = page.locator(".card .rows").first.locator("tbody tr td:nth-child(2)")
    expect(committed.first).to_have_text("0")
    page.get_by_role("button", name="Delete").click()
    type_name_and_confirm(page, "weekly", "Delete group")
    page.wait_for_url("**/groups")
    expect(page.locator(".listing")).not_to_contain_text("weekly")


def test_an_open_transaction_is_found_and_aborted(tab: Tab, cluster: Cluster) -> None:
    producer = cluster.producer(**{"transactional.id": "transfer-7", "transaction.timeout.ms": 600_000})
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    producer.produce("spare", "half a transfer", partition=1)
    assert producer.flush(WAIT_S) == 0
    page = tab.open("/transactions")
    page.get_by_role("button", name="transfer-7").click()
    expect(page.locator(".q-dialog")).to_contain_text("spare-1")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("tab", name="Open on partitions").click()
    page.get_by_role("row", name="spare-1").get_by_role("button", name="Abort").click()
    type_name_and_confirm(page, "spare-1", "Abort")
    expect(page.get_by_text("No transaction is open")).to_be_visible()


def test_a_broker_shows_its_disk_and_settings(tab: Tab) -> None:
    page = tab.open("/brokers")
    page.get_by_role("link", name="Broker 1").click()
    expect(page.locator("main")).to_contain_text("free")
    page.get_by_label("Search settings").fill("log.retention.check.interval.ms")
    expect(page.locator("table.settings")).to_contain_text("5 min")


def test_a_profile_is_drawn_as_a_flame_graph(tab: Tab, used_all_the_time: None) -> None:
    page = tab.open("/profiles")
    page.get_by_label("For", exact=True).click()
    page.get_by_role("option", name="2 s", exact=True).click()
    page.get_by_role("button", name="Take profile").click()
    expect(page.locator(".flame-graph canvas")).to_be_visible()
    expect(page.locator(".rows")).to_contain_text("tailrace.")
    picture(page, "profile")
    page.locator(".flame-graph div[role=img]").click(position={"x": 10, "y": 30})  # the second row: looked at closer
    whole = page.locator(".flame-facts").get_by_role("button", name="All of it")
    whole.click()
    expect(whole).to_have_count(0)
    page.get_by_label("Search functions").fill("tailrace")
    expect(page.locator(".flame-facts")).to_contain_text("in what matches")
    page.get_by_role("button", name="Tasks").click()
    page.get_by_role("button", name="Look").click()
    expect(page.locator(".shown-bytes pre")).not_to_be_empty()


def test_a_flame_graph_begins_where_the_tree_branches(tab: Tab) -> None:
    page = tab.open("/profiles")
    trunk = "tree => import('/static/components/flame-graph.js').then(it => it.trunk(tree))"
    branches = [frame(60, frame(60)), frame(34, frame(34))]
    assert page.evaluate(trunk, frame(100, frame(1), frame(99, frame(95, *branches)))) == [1, 0]
    assert page.evaluate(trunk, frame(100, *branches)) == [], "other threads had 6 of 100"
    assert page.evaluate(trunk, frame(100, frame(100))) == [], "a frame that calls nothing is no view"


def frame(value: int, *called: dict[str, object]) -> dict[str, object]:
    """A frame of a profile, as the console's page has them."""
    return {"value": value, "children": list(called)}


def test_keys_deep_links_and_the_back_button_lead_where_they_say(tab: Tab) -> None:
    page = tab.open("/settings")
    expect(page.get_by_role("heading", name="Versions")).to_be_visible()
    for _ in range(20):  # the second key counts for 1.5 s, which a busy machine may need
        page.keyboard.press("g")
        page.keyboard.press("t")
        if page.url.endswith("/topics"):
            break
        page.wait_for_timeout(500)
    page.wait_for_url("**/topics")
    expect(page.locator(".listing")).to_contain_text("orders")
    page.keyboard.press("/")
    page.keyboard.type("pay")
    expect(page.locator(".listing tbody tr")).to_have_count(1)
    page.keyboard.press("Escape")
    page.get_by_role("link", name="payments").click()
    page.get_by_role("link", name="Partitions").click()
    page.go_back()
    page.go_back()
    page.wait_for_url("**/topics?q=pay")
    expect(page.locator(".listing tbody tr")).to_have_count(1)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_have_count(0)
    tab.open("/nowhere")
    expect(page.get_by_text("There is no such page")).to_be_visible()


def test_the_theme_follows_the_system_and_is_switched(browser: Browser, cluster: Cluster) -> None:
    dark = Tab(browser, cluster.url, scheme="dark")
    page = dark.open("/settings")
    expect(page.locator("body")).to_have_class(re.compile("body--dark"))
    expect(page.get_by_role("heading", name="Versions")).to_be_visible()
    page.keyboard.press("d")
    expect(page.locator("body")).to_have_class(re.compile("body--light"))
    dark.open(page.url)
    expect(page.locator("body")).to_have_class(re.compile("body--light"))
    dark.close()


def test_every_page_fits_a_phone(browser: Browser, cluster: Cluster) -> None:
    """Nothing is wider than the screen; a table that is scrolls by itself."""
    phone = Tab(browser, cluster.url, PHONE)
    for path in VIEWS:
        page = phone.open(path)
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator(".view-load[aria-busy=true]")).to_have_count(0)
        width = page.evaluate("() => document.documentElement.scrollWidth")
        assert width <= PHONE[0], f"{path} is {width} wide"
    page.get_by_label("Menu").click()
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Groups").click()
    page.wait_for_url("**/groups")
    phone.close()
    dark = Tab(browser, cluster.url, PHONE, "dark")
    page = dark.open("/topics/orders")
    expect(page.locator("tr.message")).to_have_count(50)
    picture(page, "phone", after_ms=1000)
    dark.close()


def test_a_cluster_that_does_not_answer_is_told_with_what_to_do_and_its_return_is_seen(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (port,) = free_ports(1)
    with ServedConsole(f"127.0.0.1:{port}") as console:
        tab = Tab(browser, console.url)
        page = tab.open("/topics")
        expect(page.locator(".failure-state .cause")).to_be_visible()
        expect(page.locator(".live-state")).to_have_text("Cluster unreachable")
        tab.complaints.clear()  # The browser notes a request that was answered 503; the page has told it.
        with ServedBroker(tmp_path_factory.mktemp("late"), listen=f"127.0.0.1:{port}"):
            expect(page.locator(".live-state")).to_have_text("Live")
            page.get_by_role("button", name="Try again").click()
            expect(page.get_by_text("There are no topics yet")).to_be_visible()
        tab.complaints.clear()
        tab.close()


def test_ten_million_records_are_read_at_both_ends_in_the_middle_and_searched(tab: Tab, cluster: Cluster) -> None:
    cluster.create(NewTopic("large", len(CODECS)))
    fill(cluster.broker.address, "large", CODECS, RECORDS)
    last = RECORDS // len(CODECS) - 1
    page = tab.open("/topics/large?from=oldest")
    first = page.locator("tr.message").first
    expect(first.locator("td").nth(2)).to_have_text("0")
    expect(page.locator(".page-head")).to_contain_text(f"{RECORDS:,} records")
    for partition in range(len(CODECS)):
        tab.open(f"/topics/large?from=offset&partition={partition}&offset={last // 2}")
        expect(first.locator("td").nth(2)).to_have_text(f"{last // 2}")
        expect(first.locator("td.preview")).to_have_text(value_at(last // 2).decode())
    tab.open("/topics/large")
    expect(page.locator("tr.message")).to_have_count(50)
    expect(first.locator("td").nth(2)).to_have_text(f"{last}")
    expect(page.locator("footer.more")).to_contain_text("read in")
    expect(page.locator("footer.more")).not_to_contain_text("in time")  # as when the time of a look was over

    producer = cluster.producer()
    producer.produce("large", "a needle", partition=2)
    assert producer.flush(WAIT_S) == 0
    tab.open("/topics/large?query=needle")
    expect(page.locator(".reading-state")).to_contain_text("1 found in 100,000 of 10,000,001 records")
    expect(first).to_contain_text("a needle")


@pytest.mark.timeout(420)
def test_ten_thousand_topics_are_searched_sorted_and_paged(tab: Tab, cluster: Cluster) -> None:
    """The last test: the others look at few topics."""
    for start in range(0, MANY_TOPICS, 1000):
        cluster.create(*[NewTopic(f"many-{number:05}", 1) for number in range(start, start + 1000)])
    bottom = tab.page.locator(".q-table__bottom")
    for _ in range(20):  # what was asked while topics were made is used for a while where asking takes long
        page = tab.open("/topics?per_page=100")
        expect(page.locator(".listing tbody tr")).to_have_count(100)
        if " of 10" in bottom.inner_text():
            break
        page.wait_for_timeout(2000)
    expect(bottom).to_contain_text(re.compile(r"1-100 of 10\d\d\d"))
    page.get_by_label("Next page").click()
    expect(page.locator(".q-table__bottom")).to_contain_text("101-200")
    page.get_by_label("Search topics").fill("9998")
    expect(page.locator(".listing tbody tr")).to_have_count(1)
    page.get_by_label("Search topics").fill("")
    page.get_by_role("columnheader", name="Partitions").click()
    page.get_by_role("columnheader", name="Partitions").click()
    expect(page.locator(".listing tbody tr").first).to_contain_text("orders")

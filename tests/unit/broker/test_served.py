"""What is listed as served is served, and what is advertised is what real clients need."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from tailrace.broker.context import RequestContext
from tailrace.broker.handlers import api_versions
from tailrace.broker.served import SERVED
from tailrace.wire.api import ApiKey, api, versions
from tailrace.wire.messages.api_versions import ApiVersionsRequest


@pytest.mark.parametrize("key", SERVED)
def test_every_served_api_has_a_handler_and_messages(key: ApiKey) -> None:
    module = import_module(f"tailrace.broker.handlers.{key.name.lower()}")
    assert list(inspect.signature(module.handle).parameters) == ["services", "context", "request"]
    assert api(key) is not None


def test_ranges_reach_down_to_what_old_clients_send() -> None:
    """KAFKA-18659: librdkafka picks features by overlap, so Produce is advertised from 0; kafkajs sends old ones."""
    for key in (ApiKey.PRODUCE, ApiKey.FETCH, ApiKey.LIST_OFFSETS, ApiKey.OFFSET_COMMIT, ApiKey.OFFSET_FETCH):
        found = versions(key)
        assert found is not None and found[0] == 0


class TestApiVersions:
    def ask(self, bench, version: int, **fields: object) -> object:  # type: ignore[no-untyped-def]
        context: RequestContext = bench.context(ApiKey.API_VERSIONS, version)
        request = ApiVersionsRequest(**{"client_software_name": "x", "client_software_version": "1", **fields})  # type: ignore[arg-type]
        return api_versions.handle(bench.services, context, request)

    def test_lists_exactly_what_is_served(self, bench) -> None:  # type: ignore[no-untyped-def]
        answer = self.ask(bench, 3)
        assert {entry.api_key for entry in answer.api_keys} == set(SERVED)  # type: ignore[attr-defined]

    @pytest.mark.parametrize("name", ["", "a b", "-a", "a-", "ä"])
    def test_refuses_a_malformed_software_name(self, bench, name: str) -> None:  # type: ignore[no-untyped-def]
        assert self.ask(bench, 3, client_software_name=name).error_code == 42  # type: ignore[attr-defined]
        assert self.ask(bench, 2, client_software_name=name).error_code == 0  # type: ignore[attr-defined]

    def test_tells_a_client_of_another_cluster_to_start_over(self, bench) -> None:  # type: ignore[no-untyped-def]
        cluster_id = bench.metadata.image.cluster_id
        assert self.ask(bench, 5, cluster_id=cluster_id, node_id=1).error_code == 0  # type: ignore[attr-defined]
        assert self.ask(bench, 5, cluster_id="other", node_id=1).error_code == 129  # type: ignore[attr-defined]
        assert self.ask(bench, 5, cluster_id=cluster_id).error_code == 42  # type: ignore[attr-defined]

"""Every page of a broker's HTTP listener, put together: the one place where addresses are registered."""

from __future__ import annotations

from tailrace.http.guard import guard_of
from tailrace.http.routes import Routes
from tailrace.node.health import add_health_pages
from tailrace.node.metrics.page import add_metrics_page
from tailrace.node.observed import Observed
from tailrace.node.profile_pages import add_profile_pages


def routes_of(observed: Observed, listened_host: str) -> Routes:
    """The pages of one broker that listens at a host. Called once, when the first client connects."""
    routes = Routes(guard_of(listened_host))
    add_health_pages(routes, observed)
    add_metrics_page(routes, observed)
    add_profile_pages(routes, observed)
    return routes

"""The public names of each package that re-exports some: a change here is a change for users."""

import importlib
import pkgutil

import pytest

import cluster
import pipelines
import recsys
import serving

PUBLIC = {
    "recsys.ledger": """
        Claim DUPLICATE ERASED ERASURE_KEY Ledger Owner SqliteLedger TAIL UNOWNED erasure_pseudonym
        open_ledger
    """,
    "recsys.reasons": """
        EXPLAIN Explain Histories Named Reason Scoring duration explain find_event history_evidence
        reason_text without_event
    """,
    "recsys.testing": """
        BruteRetriever DecayedPairs EncoderContract HashEncoder InterestModelContract LedgerContract
        MemoryLedger PlainLog RecoveryLaw RetrieverContract World WorldSize drift news plain_log
        plain_tables random_bundle random_interest recovery tiny_bundle tiny_items tiny_log write
    """,
    "serving.client": """
        AccessError AsyncEventBatcher AsyncHalflifeClient EventBatcher HalflifeClient RetryPolicy
    """,
    "serving.console": "mount_console",
    "serving.pool": """
        AckBatch Pool PoolClient PoolSpec ProfileView ShardStatus TrendUpdate end_pool ensure_pool
        start_pool
    """,
}


def packages() -> list[str]:
    found = []
    for top in (recsys, pipelines, serving, cluster):
        found.append(top.__name__)
        found += [
            module.name
            for module in pkgutil.walk_packages(top.__path__, f"{top.__name__}.")
            if module.ispkg
        ]
    return found


@pytest.mark.parametrize("name", packages())
def test_a_package_exports_what_is_pinned_and_says_what_it_is(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__doc__
    exported = getattr(package, "__all__", [])
    assert sorted(exported) == sorted(PUBLIC.get(name, "").split())
    assert all(hasattr(package, public) for public in exported)


def test_no_package_is_pinned_that_does_not_exist() -> None:
    assert set(PUBLIC) <= set(packages())

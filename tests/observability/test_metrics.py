from datetime import timedelta

from broker.metrics import Metrics


def test_requests_are_counted_by_route_method_and_status():
    metrics = Metrics()

    metrics.request_answered("/v2/catalog", "GET", 200, timedelta(milliseconds=3))

    text = metrics.exposed().decode()
    assert 'broker_requests_total{method="GET",route="/v2/catalog",status="200"} 1.0' in text
    assert 'broker_request_seconds_bucket{le="0.005",method="GET",route="/v2/catalog"} 1.0' in text


def test_work_in_progress_is_replaced_by_each_count():
    metrics = Metrics()
    metrics.operations_counted(
        {("provision", "small"): 2}, oldest=timedelta(seconds=7), overdue=timedelta(seconds=3)
    )

    metrics.operations_counted({("bind", "small"): 1}, oldest=timedelta(0), overdue=timedelta(0))

    text = metrics.exposed().decode()
    assert 'broker_operations_in_progress{kind="bind",plan="small"} 1.0' in text
    assert 'kind="provision"' not in text
    assert "broker_oldest_operation_age_seconds 0.0" in text


def test_ends_leases_and_lags_are_counted():
    metrics = Metrics()

    metrics.operation_finished("bind", "failed", "small")
    metrics.lease_lost()
    metrics.unhandled_counted(3)
    metrics.claimed_late(timedelta(seconds=-1))

    text = metrics.exposed().decode()
    assert 'broker_operations_finished_total{kind="bind",plan="small",state="failed"} 1.0' in text
    assert "broker_lost_leases_total 1.0" in text
    assert "broker_unhandled_operations 3.0" in text
    assert "broker_due_lag_seconds_count 1.0" in text


def test_calls_to_azure_are_counted_even_without_an_answer():
    metrics = Metrics()

    metrics.arm_called("write", None, timedelta(seconds=1))
    metrics.arm_called("read", 200, timedelta(seconds=1), subscription="s", remaining=11)

    text = metrics.exposed().decode()
    assert 'broker_arm_calls_total{kind="write",status="none"} 1.0' in text
    assert 'broker_arm_remaining_calls{kind="read",subscription="s"} 11.0' in text


def test_two_brokers_in_one_process_do_not_share_counts():
    first, second = Metrics(), Metrics()

    first.lease_lost()

    assert "broker_lost_leases_total 0.0" in second.exposed().decode()

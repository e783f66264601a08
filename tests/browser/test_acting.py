from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from project.demo.origin import serving
from tests.browser.scene import MIB, Client


def test_a_jobs_state_changes_in_the_page_as_it_changes(page: Page, client: Client) -> None:
    job = client.job(payload={"sleep": 600})
    page.goto(f"/dashboard/jobs/{job}")
    expect(page.locator("h1 + .state")).to_have_text("running")
    expect(page.locator("[data-link]")).to_have_text("Live")

    client.post(f"jobs/{job}/cancel")

    expect(page.locator("h1 + .state")).to_have_text("cancelled")


def test_cancelling_asks_first(page: Page, client: Client) -> None:
    job = client.job(payload={"n": 1}, run_at="2031-01-01T00:00:00Z")
    page.goto(f"/dashboard/jobs/{job}")

    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="No, leave it").click()
    assert client.get(f"jobs/{job}")["state"] == "scheduled"
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Yes, cancel it").click()

    expect(page.locator("h1 + .state")).to_have_text("cancelled")


def test_a_job_is_paused_moved_and_resumed(page: Page, client: Client) -> None:
    job = client.job(payload={"n": 1}, run_at="2031-01-01T00:00:00Z")
    page.goto(f"/dashboard/jobs/{job}")

    page.get_by_role("button", name="Pause").click()
    expect(page.locator("h1 + .state")).to_have_text("paused")
    page.get_by_label("Move to queue").select_option("critical")
    page.get_by_role("button", name="Move").click()
    expect(page.get_by_text("The job was moved to critical.")).to_be_visible()
    page.get_by_role("button", name="Resume").click()

    expect(page.locator("h1 + .state")).to_have_text("scheduled")
    assert client.get(f"jobs/{job}")["priority"] == "critical"


def test_selected_jobs_are_cancelled_together_and_the_list_holds_still_meanwhile(page: Page, client: Client) -> None:
    jobs = [client.job(payload={"n": n}, run_at="2031-01-01T00:00:00Z", priority="low") for n in range(3)]
    page.goto("/dashboard/jobs?state=scheduled&queue=low")

    for job in jobs[:2]:
        page.get_by_role("checkbox", name=f"Select echo {job[-8:]}").check()
    expect(page.get_by_text("2 selected")).to_be_visible()
    expect(page.locator("[data-link]")).to_have_text("Held while you select")
    page.locator(".selecting").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel", exact=True).last.click()

    expect(page.get_by_text("2 jobs cancelled, or asked to stop.")).to_be_visible()
    assert [client.get(f"jobs/{job}")["state"] for job in jobs] == ["cancelled", "cancelled", "scheduled"]


def test_all_that_match_are_counted_first_and_then_changed(page: Page, client: Client) -> None:
    later = "2031-01-01T00:00:00Z"
    jobs = [client.job(payload={"marker": "every"}, run_at=later) for _ in range(2)]
    page.goto("/dashboard/jobs?q=payload.marker:every")
    page.get_by_text("All that match").click()
    page.get_by_role("link", name="Cancel all…").click()

    page.get_by_role("button", name="Cancel 2 jobs").click()

    expect(page.get_by_text("2 of 2")).to_be_visible(timeout=15_000)
    assert [client.get(f"jobs/{job}")["state"] for job in jobs] == ["cancelled", "cancelled"]


def test_new_jobs_are_announced_and_rows_do_not_jump(page: Page, client: Client) -> None:
    client.job(payload={"marker": "first"}, priority="critical")
    page.goto("/dashboard/jobs?queue=critical")
    top = page.locator("tbody tr").first.get_attribute("id")

    client.job(payload={"marker": "second"}, priority="critical")

    expect(page.get_by_role("link", name="1 new")).to_be_visible()
    assert page.locator("tbody tr").first.get_attribute("id") == top
    page.get_by_role("link", name="1 new").click()
    expect(page.locator("tbody tr").first).to_contain_text("second")


def test_a_job_is_run_again_with_changes(page: Page, client: Client) -> None:
    job = client.job(payload={"give_up": True, "order": 7})
    client.until(job, "failed")
    page.goto(f"/dashboard/jobs/{job}")

    page.get_by_role("link", name="Run again with changes").click()
    page.get_by_label("Payload").fill("{")
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The payload")
    page.get_by_label("Payload").fill('{"order": 7}')
    page.get_by_role("button", name="Submit", exact=True).click()

    expect(page.locator("h1 + .state")).to_have_text("completed")
    assert client.get(f"jobs/{job}")["state"] == "failed"


def test_a_payload_that_does_not_fit_is_refused_with_the_field_named(page: Page) -> None:
    page.goto("/dashboard/jobs/new?kind=echo")
    page.get_by_label("Payload").fill('{"sleep": "long"}')
    page.get_by_role("button", name="Submit", exact=True).click()

    expect(page.get_by_role("alert")).to_contain_text("/payload/sleep")


def test_pasted_links_become_downloads_whose_bars_move_and_whose_files_can_be_fetched(
    page: Page, tmp_path: Path
) -> None:
    with serving(24 * MIB, 0.8 * MIB) as origin:
        page.goto("/dashboard/downloads")
        _show_form(page)
        page.get_by_label("Links").fill(f"{origin.url}?one\n{origin.url}?two")
        page.get_by_label("Folder").fill("from-the-page")
        page.get_by_role("button", name="Download", exact=True).click()
        expect(page.get_by_text("2 downloads added.")).to_be_visible()
        bar = page.locator(".download [role=progressbar]").first
        expect(bar).not_to_have_attribute("aria-valuenow", "0.0")
        before = bar.get_attribute("aria-valuenow")
        assert before is not None
        expect(bar).not_to_have_attribute("aria-valuenow", before)
        assert bar.locator(".piece").count() > 1  # one for each connection

        page.get_by_role("button", name="Pause from-the-page").first.click()
        expect(page.locator(".download .state-paused").first).to_have_text("paused")
        page.get_by_role("button", name="Resume from-the-page").first.click()
        expect(page.locator(".download .state-paused")).to_have_count(0)  # the answer has come
        page.get_by_label("Limit for all").fill("900")
        page.get_by_role("button", name="Set").click()
        expect(page.get_by_text("follow within two seconds")).to_be_visible()
        page.get_by_role("button", name="Cancel from-the-page").first.click()
        page.get_by_role("button", name="Yes, cancel it").click()
        expect(page.locator(".download .state-cancelled").first).to_be_visible()
        link = page.locator(".download .title a[href$='/file']").first
        expect(link).to_be_visible()
        with page.expect_download() as fetched:
            link.click()
        fetched.value.save_as(tmp_path / "file.bin")
        assert (tmp_path / "file.bin").read_bytes() == origin.content


def _show_form(page: Page) -> None:
    """It is open where there is no download yet."""
    if not page.get_by_label("Links").is_visible():
        page.get_by_text("Add downloads").click()


def test_links_that_cannot_be_fetched_are_refused_each_with_its_reason(page: Page) -> None:
    page.goto("/dashboard/downloads")
    _show_form(page)
    page.get_by_label("Links").fill("ftp://example.com/file")
    page.get_by_role("button", name="Download", exact=True).click()

    expect(page.locator(".notice.warning")).to_contain_text("ftp://example.com/file")


def test_the_keyboard_is_enough(page: Page, client: Client) -> None:
    client.until(client.job(payload={"found": "by keyboard"}), "completed")
    page.goto("/dashboard/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_role("combobox", name="Search jobs")).to_be_focused()
    page.keyboard.type("echo")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs?q=echo")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")

    page.wait_for_url("**/dashboard/jobs/*-*")
    page.keyboard.press("d")
    page.wait_for_url("**/dashboard/downloads")


@pytest.mark.parametrize(("presses", "theme"), [(1, "light"), (2, "dark"), (3, None)])
def test_the_theme_is_chosen_and_kept(page: Page, presses: int, theme: str | None) -> None:
    page.goto("/dashboard/")
    for _ in range(presses):
        page.get_by_role("button", name="Change theme").click()
    page.goto("/dashboard/jobs")

    assert page.evaluate("document.documentElement.dataset.theme ?? null") == theme


def test_a_worker_is_drained_after_a_question_and_a_fresh_one_takes_its_place(page: Page) -> None:
    page.goto("/dashboard/workers")
    drained = page.locator("section").filter(has=page.get_by_role("button", name="Drain compute"))
    was = drained.get_attribute("id")

    page.get_by_role("button", name="Drain compute").click()
    page.get_by_role("button", name="Yes, drain it").click()

    expect(page.get_by_text("The worker drains")).to_be_visible()
    expect(page.locator(f"#{was}")).to_be_hidden(timeout=60_000)
    expect(page.get_by_role("button", name="Drain compute")).to_be_visible(timeout=60_000)

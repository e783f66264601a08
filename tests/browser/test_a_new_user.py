"""What somebody does who has never seen these pages. Runs first: it needs a platform without jobs."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.scene import Client


def test_somebody_new_submits_a_job_and_later_mends_a_failed_one(page: Page, client: Client) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    page.get_by_role("button", name="Submit your first job").click()

    expect(page.get_by_text("The job was submitted.")).to_be_visible()
    expect(page.locator("h1 + .state")).to_have_text("completed")  # by itself, without a reload

    failing = client.job(payload={"fail_times": 1}, max_retries=0)
    client.until(failing, "failed")
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("link", name="Dead letters").click()
    page.get_by_role("link", name="echo").first.click()
    expect(page.get_by_text("every attempt failed")).to_be_visible()
    expect(page.locator("#attempt-1 .error")).to_contain_text("asked to fail 1 times")
    expect(page.locator(".frame-line.theirs")).to_contain_text("raise RuntimeError")

    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("The job was queued again.")).to_be_visible()
    expect(page.locator("h1 + .state")).to_have_text("completed")

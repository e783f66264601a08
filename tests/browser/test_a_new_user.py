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
    page.locator("#live").get_by_role("link", name="Dead letters").click()
    page.get_by_role("link", name="RuntimeError", exact=True).click()
    page.get_by_role("link", name="echo").first.click()
    expect(page.get_by_text("every attempt failed")).to_be_visible()
    expect(page.locator("#attempt-1 .error")).to_contain_text("asked to fail 1 times")
    expect(page.locator(".frame-line.theirs")).to_contain_text("raise RuntimeError")

    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("The job was queued again.")).to_be_visible()
    expect(page.locator("h1 + .state")).to_have_text("completed")

    page.get_by_role("link", name="Queues").click()
    queue = page.locator("#queue-low")
    queue.get_by_label("Pause low").click()
    queue.get_by_label("Why").fill("the printer is being mended")
    queue.get_by_role("button", name="Pause low").click()
    banner = page.locator(".banner")
    expect(banner).to_contain_text("The queue low is paused: the printer is being mended")
    waits = client.job(payload={"n": 1}, priority="low")
    page.goto(f"/dashboard/jobs/{waits}")
    expect(page.get_by_text("Why it is not running")).to_be_visible()
    expect(banner).to_be_visible()
    banner.get_by_role("button", name="Resume low").click()
    expect(banner).to_have_count(0)
    expect(page.locator("h1 + .state")).to_have_text("completed")

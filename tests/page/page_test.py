"""page_test.py PROGRAMS AXE [PICTURES]: the page of `ringmill serve` in headless Chromium. Started by tests/page/run.
With PICTURES, a folder, it leaves pictures there for docs/operations.md."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from playwright.sync_api import expect, sync_playwright

PROGRAMS, AXE = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
PICTURES = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
HOSTILE = [
    "<script>window.harmed = 1</script>",
    "<img src=x onerror='window.harmed = 2'>",
    "\"><svg onload=window.harmed=3>",
    "javascript:window.harmed=4",
    "{{constructor.constructor('window.harmed=5')()}}",
    "\u202egnp.exe \u0000\u001b[31m\u009b",
    "</pre></main><iframe srcdoc='<script>parent.harmed=6</script>'>",
]


def ringmill(*words, **options):
    done = subprocess.run([PROGRAMS / "ringmill", *words], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, (words, done.returncode, done.stderr)
    return done.stdout


class Engine:
    def __init__(self, folder):
        self.path = str(pathlib.Path(folder) / "engine")
        ringmill("init", self.path, "--capacity", "512")
        self.keeper = subprocess.Popen([PROGRAMS / "ringmill", "keeper", self.path, "--foreground"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.server = subprocess.Popen(
            [PROGRAMS / "ringmill", "serve", self.path, "--listen", "127.0.0.1:0", "--allow-actions"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.server.stdout.readline()
        self.url = self.server.stdout.readline().strip()

    def enqueue(self, payload, kind="mail", *more):
        return ringmill("enqueue", self.path, "--kind", kind, "--payload-file", "-", *more, input=payload).strip()

    def work(self, command, kind="mail"):
        ringmill("work", self.path, "--exec", command, "--kind", kind, "--drain")

    def letters(self):
        return [json.loads(line) for line in ringmill("dead", self.path, "list", "--json").splitlines()]

    def end(self):
        for process in (self.server, self.keeper):
            process.terminate()
            process.wait()
        ringmill("remove", self.path, "--force")


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def keep_picture(page, name):
    if PICTURES is not None:
        page.screenshot(path=PICTURES / f"page-{name}.png")


def check_access(page, where):
    """axe finds no fault of the levels A and AA."""
    found = page.evaluate(AXE.read_text() + "; axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
    faults = [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found["violations"]]
    assert not faults, (where, faults)


def a_failed_job_is_found_understood_and_retried(page, engine):
    job = engine.enqueue("letter to Anna", "mail", "--max-attempts", "1")
    engine.work("echo 'no such mailbox' >&2; exit 1")
    wait_for(lambda: len(engine.letters()) == 1)
    page.get_by_role("link", name="Dead letters").click()
    page.get_by_role("link", name=job).click()
    expect(page.locator("#explanation")).to_contain_text("is dead since")
    expect(page.locator("#error")).to_contain_text("no such mailbox")
    expect(page.get_by_label("payload")).to_have_text("letter to Anna")
    keep_picture(page, "dead-job")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#explanation")).to_contain_text("is queued")
    engine.work("cat")
    page.get_by_role("button", name="Look again").click()
    expect(page.locator("#explanation")).to_contain_text("is over")
    assert engine.letters() == []


def a_level_is_paused_and_goes_on(page, engine):
    page.get_by_role("link", name="Levels", exact=True).click()
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="high", exact=True))
    row.get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("paused since")
    assert json.loads(ringmill("status", engine.path, "--json"))["levels"][0]["paused"]
    row.get_by_role("button", name="Resume").click()
    expect(row).not_to_contain_text("paused since")


def hostile_text_does_nothing(page, engine):
    jobs = [engine.enqueue(text, "mail", "--max-attempts", "1") for text in HOSTILE]
    engine.work("cat >&2; exit 1")
    wait_for(lambda: len(engine.letters()) == len(HOSTILE))
    page.goto(engine.url.split("#")[0] + "#dead")
    expect(page.get_by_role("row")).to_have_count(len(HOSTILE) + 1)
    for job, text in zip(jobs, HOSTILE):
        page.goto(engine.url.split("#")[0] + f"#job/{job}")
        expect(page.get_by_role("heading", name=f"Job {job}")).to_be_visible()
        shown = page.get_by_label("payload").text_content()
        assert shown == text or "\u202e" in text, (shown, text)
        for name in ("JSON", "Hex", "Text"):
            page.get_by_role("button", name=name, exact=True).click()
    assert page.evaluate("window.harmed") is None
    assert page.locator("iframe, main script, main img, main svg").count() == 0


def letters_are_purged_after_a_question(page, engine):
    page.get_by_role("link", name="Dead letters").click()
    page.get_by_role("button", name="Purge all that match").click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    assert len(engine.letters()) == len(HOSTILE)
    page.get_by_role("checkbox").nth(0).check()
    page.get_by_role("button", name="Purge the chosen").click()
    page.get_by_role("button", name="Purge", exact=True).click()
    wait_for(lambda: len(engine.letters()) == len(HOSTILE) - 1)
    page.get_by_role("button", name="Purge all that match").click()
    page.get_by_role("button", name="Purge", exact=True).click()
    wait_for(lambda: engine.letters() == [])
    expect(page.get_by_text("no dead letters")).to_be_visible()


def a_schedule_is_paused_and_goes_on(page, engine):
    ringmill("schedule", engine.path, "add", "nightly", "--cron", "30 2 * * *", "--zone", "Europe/Berlin",
             "--kind", "report")
    page.get_by_role("link", name="Schedules").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name="nightly", exact=True))

    def listed():
        return json.loads(ringmill("schedule", engine.path, "list", "nightly", "--json"))

    expect(row).to_contain_text("30 2 * * * Europe/Berlin")
    expect(row).to_contain_text(listed()["next_tick"])
    row.get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("paused")
    assert listed()["paused"]
    row.get_by_role("button", name="Resume").click()
    expect(row).to_contain_text(listed()["next_tick"])
    assert not listed()["paused"]


def linked_jobs_are_a_picture_that_leads_on(page, engine):
    parents = [engine.enqueue(f"part {n}", "part") for n in range(2)]
    after = [word for parent in parents for word in ("--after", parent)]
    job = engine.enqueue("whole", "whole", *after)
    for n in range(9):
        engine.enqueue(f"then {n}", "then", "--after", job)
    page.goto(engine.url.split("#")[0] + f"#job/{job}")
    picture = page.locator("svg.graph")
    expect(picture).to_have_attribute("aria-label", "2 parents, 9 children")
    expect(picture.get_by_text("and 3 others")).to_be_visible()
    expect(picture.locator("a")).to_have_count(2 + 6)
    expect(page.get_by_role("region", name="All linked jobs").get_by_role("row")).to_have_count(1 + 2 + 9)
    check_access(page, "linked jobs")
    picture.scroll_into_view_if_needed()
    keep_picture(page, "linked-jobs")
    picture.get_by_role("link", name=parents[1]).click()
    expect(page.get_by_role("heading", name=f"Job {parents[1]}")).to_be_visible()
    expect(picture).to_have_attribute("aria-label", "0 parents, 1 children")
    picture.get_by_role("link", name=job).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=f"Job {job}")).to_be_visible()
    expect(page.locator("#explanation")).to_contain_text(parents[0])
    engine.work("cat", "part")
    page.get_by_role("button", name="Look again").click()
    expect(page.locator("#explanation")).to_contain_text("is queued")
    for kind in ("whole", "then"):
        engine.work("cat", kind)


def jobs_are_filtered_and_paged(page, engine):
    for n in range(60):
        engine.enqueue(str(n), "odd" if n % 2 else "even")
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("canvas")).to_have_count(4)
    keep_picture(page, "overview")
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_role("row")).to_have_count(51)
    page.get_by_role("button", name="More").click()
    expect(page.get_by_role("row")).to_have_count(61)
    page.get_by_label("Kind").fill("odd")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("row")).to_have_count(31)


def every_view_is_accessible_light_dark_and_narrow(page, engine):
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for view in ("overview", "levels", "kinds", "jobs", "workers", "schedules", "dead", "health"):
            page.goto(engine.url.split("#")[0] + f"#{view}")
            page.wait_for_timeout(300)
            check_access(page, (scheme, view))
    page.set_viewport_size({"width": 360, "height": 740})
    for view in ("overview", "levels", "jobs", "schedules"):
        page.goto(engine.url.split("#")[0] + f"#{view}")
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{view} is wider than a phone"
    page.set_viewport_size({"width": 1200, "height": 800})


def the_keyboard_is_enough(page, engine):
    page.goto(engine.url.split("#")[0] + "#overview")
    page.reload()
    page.wait_for_timeout(300)
    page.keyboard.press("Tab")
    names = []
    for _ in range(8):
        names.append(page.evaluate("document.activeElement.textContent"))
        page.keyboard.press("Tab")
    assert names == ["Overview", "Levels", "Kinds", "Jobs", "Workers", "Schedules", "Dead letters",
                     "Health"], names


def without_the_token_nothing_is_shown(browser, engine):
    page = browser.new_context().new_page()
    page.goto(engine.url.split("#")[0])
    expect(page.locator("#state")).to_contain_text("send the token")
    assert page.get_by_role("row").count() == 0
    page.close()


def main():
    folder = tempfile.mkdtemp(prefix="ringmill-page-")
    engine = Engine(folder)
    trouble = []
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1200, "height": 800})
            page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
            page.on("console", lambda line: trouble.append(line.text) if "Security Policy" in line.text else None)
            page.on("dialog", lambda dialog: (trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            page.on("request", lambda request: None if request.url.startswith(("http://127.0.0.1:", "data:"))
                    else trouble.append(f"asked another host: {request.url}"))
            page.goto(engine.url)
            expect(page.locator("#state")).to_contain_text("live")
            assert "token" not in page.url, "the token stays in the address"
            for step in (a_failed_job_is_found_understood_and_retried, a_level_is_paused_and_goes_on,
                         hostile_text_does_nothing, letters_are_purged_after_a_question,
                         a_schedule_is_paused_and_goes_on, linked_jobs_are_a_picture_that_leads_on,
                         jobs_are_filtered_and_paged, every_view_is_accessible_light_dark_and_narrow,
                         the_keyboard_is_enough):
                step(page, engine)
                print("ok:", step.__name__.replace("_", " "))
            without_the_token_nothing_is_shown(browser, engine)
            print("ok: without the token nothing is shown")
            assert not trouble, trouble
            browser.close()
    finally:
        engine.end()
        shutil.rmtree(folder)
    print("ok: no script of a job ran, no policy was broken, no other host was asked")


main()

// Looks at the simulator's page in a browser as a person would: node look.cjs CHROMIUM LINK FOLDER
// Prints what it saw as JSON; any error of the page, and any request to another place, is an error here.
"use strict";
const { chromium } = require("playwright-core");
const [browserPath, link, folder, hostile] = process.argv.slice(2);
const origin = new URL(link).origin;

async function main() {
  const browser = await chromium.launch({
    executablePath: browserPath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  const seen = { faults: [], foreign: [], dialogs: 0 };
  try {
    const context = await browser.newContext({ viewport: { width: 1200, height: 1000 }, reducedMotion: "reduce" });
    const page = await context.newPage();
    page.on("pageerror", (error) => seen.faults.push(String(error)));
    page.on("console", (said) => { if (said.type() === "error") seen.faults.push(said.text()); });
    page.on("request", (request) => { if (!request.url().startsWith(origin)) seen.foreign.push(request.url()); });
    page.on("dialog", (dialog) => { seen.dialogs += 1; dialog.dismiss(); });

    await page.goto(origin);
    seen.asksToSignIn = await page.getByLabel("Token").isVisible();
    seen.contentBefore = await page.locator("#content").isVisible();
    await page.goto(link);
    await page.locator("#content").waitFor();
    seen.address = page.url();
    const hostileRow = page.locator("#resource-rows tr", { has: page.locator("th", { hasText: hostile }) });
    await hostileRow.waitFor();
    seen.hostile = await hostileRow.locator("th").textContent();
    seen.hostileTags = await hostileRow.locator("td.tags").textContent();
    seen.injected = await page.locator("#resource-rows img, #resource-rows script, #group-rows img").count();
    await page.getByRole("button", { name: "Show operations of first" }).click();
    await page.getByRole("table", { name: "Operations of first" }).waitFor();
    seen.operations = await page.getByRole("table", { name: "Operations of first" }).locator("tbody tr").count();

    // By keyboard alone: choose a kind, name a path, arm; then lift.
    await page.getByLabel("Kind").focus();
    await page.getByLabel("Kind").selectOption("throttle");
    await page.getByLabel("Path, a regular expression").focus();
    await page.keyboard.type("/armed-by-hand$");
    await page.getByLabel("retry_after").focus();
    await page.keyboard.type("7");
    await page.keyboard.press("Enter");
    await page.locator("#fault-rows tr", { hasText: "armed-by-hand" }).waitFor();
    seen.outcome = await page.locator("#outcome").textContent();
    await page.screenshot({ path: `${folder}/armed.png`, fullPage: true });
    seen.struck = await page.evaluate(async ({ origin: at }) => {
      const token = window.sessionStorage.getItem("simulator-token");
      const reply = await fetch(`${at}/subscriptions/none/armed-by-hand?api-version=2025-04-01`, { headers: { Authorization: `Bearer ${token}` } });
      return [reply.status, reply.headers.get("retry-after")];
    }, { origin });
    await page.locator("#call-rows tr", { hasText: "armed-by-hand" }).waitFor();
    seen.call = await page.locator("#call-rows tr", { hasText: "armed-by-hand" }).first().textContent();
    await page.getByRole("button", { name: /^Lift fault/ }).first().focus();
    await page.keyboard.press("Enter");
    await page.locator("#fault-rows", { hasText: "No fault is armed." }).waitFor();
    await page.getByLabel("Kind").selectOption("error");
    await page.getByLabel("Path, a regular expression").fill("(");
    await page.getByRole("button", { name: "Arm", exact: true }).click();
    await page.locator("#outcome.failed").waitFor();
    seen.refusal = await page.locator("#outcome").textContent();
    seen.faults = seen.faults.filter((text) => !/status of (429|400)/.test(text)); // The two replies asked for above.

    const unnamed = await page.evaluate(() => [...document.querySelectorAll("input, select, button")]
      .filter((each) => !(each.labels?.length || each.textContent.trim())).map((each) => each.outerHTML));
    seen.unnamed = unnamed;
    await page.emulateMedia({ colorScheme: "dark" });
    await page.screenshot({ path: `${folder}/dark.png` });
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 390, height: 844 });
    seen.scrollsSideways = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
    await page.screenshot({ path: `${folder}/narrow.png` });
    await page.getByRole("button", { name: "Sign out" }).click();
    seen.leftBehind = await page.evaluate(() => [window.sessionStorage.length, document.querySelectorAll("tbody tr").length]);
    await page.getByLabel("Token").fill("guessed");
    await page.keyboard.press("Enter");
    await page.locator("#connection", { hasText: "not accepted" }).waitFor();
    seen.faults = seen.faults.filter((text) => !text.includes("401"));
  } finally {
    await browser.close();
  }
  console.log(JSON.stringify(seen));
}

main().catch((error) => { console.error(error); process.exit(1); });

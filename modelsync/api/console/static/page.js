// The index page: shows times relative to now, and fetches the page with a token if it needs one.
import { ask, onSignIn, token } from "./token.js";

const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function showRelativeTimes() {
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const element of document.querySelectorAll("time[datetime]")) {
    const seconds = (new Date(element.dateTime) - Date.now()) / 1000;
    if (Number.isNaN(seconds)) continue;
    const [unit, size] = STEPS.find(([, size]) => Math.abs(seconds) >= size) ?? STEPS.at(-1);
    element.title = element.title || element.textContent;
    element.textContent = words.format(Math.round(seconds / size), unit);
  }
}

async function open() {
  const response = await ask(location.pathname, { headers: { Accept: "text/html" } });
  if (!response.ok) return false;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  document.querySelector("main").replaceWith(page.querySelector("main"));
  document.title = page.title;
  showRelativeTimes();
  return true;
}

// While jobs go on, the page shows how far they are.
async function followJobs() {
  if (document.querySelector("[data-job]") && !document.hidden) await open();
}

onSignIn(open);
if (document.getElementById("signin") && token.get()) open();
showRelativeTimes();
setInterval(showRelativeTimes, 15000);
setInterval(followJobs, 2000);

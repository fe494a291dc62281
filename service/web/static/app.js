// Conveniences only: every page works without this file.
"use strict";

// Copy buttons appear where the browser can copy.
if (navigator.clipboard) {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    const label = button.textContent;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent.trim());
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(source);
        button.textContent = "Press Ctrl+C";
      }
      setTimeout(() => { button.textContent = label; }, 2000);
    });
  }
}

// A page that waits for something reloads, unless somebody is using it.
const waiting = document.querySelector("[data-wait]");
if (waiting) {
  const again = () => {
    const busy = document.hidden || document.querySelector("details[open]") || document.activeElement?.matches("input, select, button, a");
    if (busy) setTimeout(again, 2000);
    else location.reload();
  };
  setTimeout(again, Number(waiting.dataset.wait) * 1000);
}

// Menus close on Escape and on a click elsewhere.
const menus = document.querySelectorAll("details.menu");
document.addEventListener("keydown", (e) => {
  if (e.key !== "Escape") return;
  for (const m of menus) if (m.open) { m.open = false; m.querySelector("summary").focus(); }
});
document.addEventListener("click", (e) => {
  for (const m of menus) if (m.open && !m.contains(e.target)) m.open = false;
});

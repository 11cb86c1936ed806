// Pages work without this. It adds: pages that follow the head, videos that play in step, a copy
// button, and lists that apply at once.
"use strict";

const main = document.getElementById("content");

// On a new block the page is fetched again and its content replaced, unless the reader is in the
// middle of something.
if (main && main.hasAttribute("data-live") && "EventSource" in window) {
  let asked = false;
  const refresh = async () => {
    if (asked || document.hidden || main.contains(document.activeElement)) return;
    if (main.querySelector("details[open]")) return;
    asked = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.getElementById("content");
        if (fresh) { main.replaceChildren(...fresh.childNodes); enliven(main); }
      }
    } catch { /* The server restarts: the next event brings the next try. */ }
    asked = false;
  };
  new EventSource("/events").addEventListener("head", (event) => {
    main.dataset.head = event.data;
    refresh();
  });
}

function enliven(root) {
  for (const button of root.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
    });
  }
  for (const select of root.querySelectorAll("form.order select")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }
}
enliven(document);

const player = document.querySelector("[data-player]");
if (player) {
  const videos = [...document.querySelectorAll("video[data-step]")];
  const lead = videos[0];
  const [play, scrub, speed] =
    ["[data-play]", "[data-scrub]", "[data-speed]"].map((name) => player.querySelector(name));
  const IN_STEP = 0.06; // seconds: less than a frame at 16 per second
  let playing = false;
  player.hidden = videos.length === 0;
  videos.forEach((video) => { video.controls = false; });
  const seek = (time) => videos.forEach((video) => { video.currentTime = time; });
  const follow = () => {
    if (!playing) return;
    for (const video of videos.slice(1)) {
      if (Math.abs(video.currentTime - lead.currentTime) > IN_STEP && !video.seeking) {
        video.currentTime = lead.currentTime;
      }
    }
    if (lead.duration) scrub.value = Math.round(lead.currentTime / lead.duration * 1000);
    setTimeout(follow, 120);
  };
  play.addEventListener("click", async () => {
    playing = !playing;
    play.textContent = playing ? "Pause all" : "Play all";
    if (playing) {
      await Promise.allSettled(videos.map((video) => video.play()));
      follow();
    } else {
      videos.forEach((video) => video.pause());
      seek(lead.currentTime);
    }
  });
  scrub.addEventListener("input", () => {
    if (lead.duration) seek(scrub.value / 1000 * lead.duration);
  });
  speed.addEventListener("change", () => {
    videos.forEach((video) => { video.playbackRate = Number(speed.value); });
  });
}

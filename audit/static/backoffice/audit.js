"use strict";
/* The change log: says when there are newer entries, and shows where the slider was let go. */
const NEWS_MS = 10000;

async function lookForNews(place) {
  if (document.visibilityState === "visible") {
    try {
      const answer = await fetch(place.dataset.newsUrl, { headers: { Accept: "application/json" } });
      if (!answer.ok) return;
      const { count } = await answer.json();
      if (count) {
        const link = document.createElement("a");
        link.href = location.href;
        link.textContent = count === 1 ? "One newer entry: show it" : `${count >= 100 ? "100 or more" : count} newer entries: show them`;
        place.replaceChildren(link);
      }
    } catch {
      /* The network is away; the next look may find it. */
    }
  }
  setTimeout(() => lookForNews(place), NEWS_MS);
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-news-url]").forEach((place) => setTimeout(() => lookForNews(place), NEWS_MS));
  document.querySelectorAll("[data-submit-on-change]").forEach((slider) => {
    /* Keys move it step by step: wait until they rest. */
    let timer;
    slider.addEventListener("change", () => {
      clearTimeout(timer);
      timer = setTimeout(() => slider.form.requestSubmit(), 500);
    });
  });
});

"use strict";
// A page of what runs follows it. Without this the page says how it stood when it was asked for.
(() => {
  const region = document.querySelector("[data-events]");
  const said = document.getElementById("said");
  if (!region) return;

  const say = (text) => {
    said.textContent = text;
    said.hidden = !text;
  };

  const isAtEnd = (box) => box.scrollTop + box.clientHeight >= box.scrollHeight - 4;

  // what scrolls stays where it was, and a log that was at its end stays there
  const keepScrolled = (old, fresh) => {
    const before = [...old.querySelectorAll("pre, .scroll")];
    const states = before.map((box) => [box.scrollLeft, isAtEnd(box) ? Infinity : box.scrollTop]);
    return () => {
      [...fresh.querySelectorAll("pre, .scroll")].forEach((box, index) => {
        if (!states[index]) return;
        box.scrollLeft = states[index][0];
        box.scrollTop = Math.min(states[index][1], box.scrollHeight);
      });
    };
  };

  const keepFocus = (old, fresh) => {
    const focused = document.activeElement;
    if (!old.contains(focused)) return () => {};
    const href = focused.getAttribute("href");
    const same = (root) => [...root.querySelectorAll("a[href], [tabindex]")].filter((each) => each.getAttribute("href") === href);
    const index = same(old).indexOf(focused);
    return () => same(fresh)[index]?.focus({ preventScroll: true });
  };

  const replace = (old, fresh) => {
    if (old.outerHTML === fresh.outerHTML) return;
    const after = [keepScrolled(old, fresh), keepFocus(old, fresh)];
    old.replaceWith(fresh);
    after.forEach((restore) => restore());
  };

  const show = (html) => {
    const fresh = [...new DOMParser().parseFromString(html, "text/html").body.children];
    [...region.children].forEach((old, index) => replace(old, fresh[index]));
  };

  // A browser keeps six connections to one server: pages that nobody looks at hold none.
  let source = null;
  let over = false;
  const leave = () => {
    source?.close();
    source = null;
  };
  const end = () => {
    over = true;
    leave();
  };
  const follow = () => {
    if (source || over) return;
    source = new EventSource(region.dataset.events);
    source.addEventListener("standing", (event) => {
      say("");
      show(JSON.parse(event.data));
    });
    source.addEventListener("trouble", (event) => say(`It cannot be asked how this stands: ${JSON.parse(event.data)}`));
    source.addEventListener("closed", end);
    source.addEventListener("ended", () => {
      end();
      location.reload();
    });
    source.addEventListener("error", (event) => {
      const refused = event.target.readyState === EventSource.CLOSED;
      say(refused ? "The studio was ended or follows too many pages: reload this one." : "The studio does not answer; asking again.");
    });
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : follow()));
  if (!document.hidden) follow();
  for (const log of region.querySelectorAll("pre")) log.scrollTop = log.scrollHeight;
})();

"use strict";
// Pictures that are dropped or chosen go to the endpoint, one after the other; its answers stand below.
(() => {
  const section = document.getElementById("pictures");
  const [drop, input, list] = [".drop", "input", ".answers"].map((name) => section.querySelector(name));
  const largest = Number(section.dataset.largest);
  const make = (name, text, more) => Object.assign(document.createElement(name), { textContent: text, ...more });
  let queue = Promise.resolve();

  const asked = async (file) => {
    if (file.size > largest) return { error: `${file.size.toLocaleString()} bytes; an endpoint takes ${largest.toLocaleString()}` };
    const headers = { "X-Studio-Token": section.dataset.token, "Content-Type": "application/octet-stream" };
    try {
      const answer = await fetch(section.dataset.predict, { method: "POST", headers, body: file });
      const isData = (answer.headers.get("Content-Type") ?? "").startsWith("application/json");
      return isData ? await answer.json() : { error: `the studio answers with status ${answer.status}` };
    } catch {
      return { error: "the studio does not answer" };
    }
  };

  const words = (told) => {
    if (told.error) return make("p", told.error, { className: "bad" });
    const sure = `${told.class} ${Number(told.probability).toFixed(4)}${told.unsure ? ", unsure" : ""}`;
    const others = (told.top ?? []).slice(1).map((each) => `${each.class} ${Number(each.probability).toFixed(4)}`);
    const answer = make("p", sure, { className: "sure" });
    if (others.length) answer.append(make("span", ` then ${others.join(", ")}`, { className: "soft" }));
    return answer;
  };

  const ask = async (file) => {
    const picture = make("img", "", { src: URL.createObjectURL(file), alt: "" });
    const told = make("p", "asking", { className: "soft" });
    const text = make("div", "");
    text.append(make("p", file.name, { className: "mono" }), told);
    const item = make("li", "");
    item.append(picture, text);
    list.prepend(item);
    told.replaceWith(words(await asked(file)));
  };

  const askAll = (files) => {
    for (const file of files) queue = queue.then(() => ask(file));
  };

  input.addEventListener("change", () => {
    askAll([...input.files]);
    input.value = "";
  });
  for (const kind of ["dragenter", "dragover"])
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    askAll([...event.dataTransfer.files]);
  });
})();

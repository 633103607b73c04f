// Nothing but the DOM: a box for each part, with its name and its JSON.

async function loadDashboard() {
  const place = document.getElementById("dashboard");
  let cursor = null;

  do {
    const url = cursor ? `/api/dashboard/?cursor=${cursor}` : "/api/dashboard/";
    const page = await fetch(url).then((response) => response.json());

    for (const part of page.results) {
      const [[name, data]] = Object.entries(part);
      const box = document.createElement("div");
      box.className = "part";
      box.innerHTML = `<h3>${name}</h3><pre>${JSON.stringify(data)}</pre>`;
      place.appendChild(box);
    }

    cursor = page.cursor;
  } while (cursor);
}

/** As much of a document as the loop wants. */
function emptyDocument() {
  const place = { id: "dashboard", children: [] };
  place.appendChild = (child) => place.children.push(child);

  return {
    getElementById: (id) => (id === place.id ? place : null),
    createElement: (tag) => ({ tag }),
    place,
  };
}

export async function run() {
  globalThis.document = emptyDocument();
  await loadDashboard();

  return document.place.children.map(({ tag, className, innerHTML }) => {
    const [, name, json] = innerHTML.match(/^<h3>(.*)<\/h3><pre>(.*)<\/pre>$/);
    return { tag, className, part: { [name]: JSON.parse(json) } };
  });
}

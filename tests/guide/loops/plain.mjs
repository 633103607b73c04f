// A page that shows each part as it loads, with nothing but `fetch`.

export async function load(showPart) {
  let next = "/api/dashboard/";

  while (next) {
    const page = await (await fetch(next)).json();
    page.results.forEach(showPart);
    next = page.cursor && `/api/dashboard/?cursor=${page.cursor}`;
  }
}

export async function run() {
  const shown = [];
  await load((part) => shown.push(part));
  return shown;
}

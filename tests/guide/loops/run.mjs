// `node run.mjs NAME ORIGIN`: runs one loop as on a page of that origin.

const [name, origin] = process.argv.slice(2);
const { fetch } = globalThis;
const requests = [];

globalThis.fetch = (url, options) => {
  requests.push(url.replace(/cursor=.+/, "cursor=…"));
  return fetch(new URL(url, origin), options);
};

const { run } = await import(`./${name}.mjs`);
process.stdout.write(JSON.stringify({ result: await run(), requests }));

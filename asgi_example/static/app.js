import { connect } from "./django_partstream/partstream.js";
import { Dashboard } from "./dashboard.js";
import { byId } from "./element.js";
import { Jobs } from "./jobs.js";
import { Line } from "./line.js";
import { Load } from "./load.js";
import { showProblem } from "./problem.js";
import { readSession, showSession } from "./session.js";

/** Puts the two halves of the page on one socket. */
async function start() {
  const line = new Line();
  const socket = connect("/ws/partstream/", line);
  const dashboard = new Dashboard(line, socket);
  const jobs = new Jobs(byId("jobs"), { socket });
  const load = new Load(socket, {
    jobs,
    onRefresh: () => {
      byId("dashboard").scrollIntoView();
      byId("dashboard").focus({ preventScroll: true });
      dashboard.load();
    },
  });
  const session = await readSession();
  showSession(byId("session"), session);

  if (session.full && !session.user) {
    byId("load-button").disabled = true;
    byId("dashboard").hidden = true;
    return;
  }

  dashboard.load();
  await jobs.begin(session.user);
  await load.resume();
}

start().catch((error) =>
  showProblem(byId("load-problem"), error, { heading: "The page could not start" }),
);

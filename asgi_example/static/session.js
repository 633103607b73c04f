import { element } from "./element.js";

/**
 * Who uses the page, and where to log in and out.
 * @returns {Promise<{full: boolean, user: string | null, login_url: string | null,
 *   logout_url: string | null}>}
 */
export async function readSession() {
  const response = await fetch("/api/session/", {
    headers: { Accept: "application/json" },
  });

  if (!response.ok) {
    throw new Error(`The session could not be read: ${response.status}.`);
  }

  return response.json();
}

/** What Django asks of a request that changes something. */
export function csrfHeaders() {
  const token = csrfToken();
  return token ? { "X-CSRFToken": token } : {};
}

/**
 * @param {Element} slot
 * @param {Awaited<ReturnType<typeof readSession>>} session
 */
export function showSession(slot, { full, user, login_url, logout_url }) {
  if (full) {
    slot.replaceChildren(...(user ? member(user, logout_url) : guest(login_url)));
  }
}

function member(user, logoutUrl) {
  const token = { type: "hidden", name: "csrfmiddlewaretoken", value: csrfToken() };
  return [
    element("span", {}, "Logged in as ", element("strong", {}, user)),
    element(
      "form",
      { method: "post", action: logoutUrl },
      element("input", token),
      element("button", { class: "button quiet", "data-testid": "logout" }, "Log out"),
    ),
  ];
}

function guest(loginUrl) {
  const address = `${loginUrl}?next=${encodeURIComponent(location.pathname)}`;
  return [
    element("span", {}, "Flights can be loaded and seen by members."),
    element(
      "a",
      { class: "button quiet", href: address, "data-testid": "login" },
      "Log in",
    ),
  ];
}

function csrfToken() {
  return document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? "";
}

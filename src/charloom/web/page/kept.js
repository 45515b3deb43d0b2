/** What outlives a reload of the page, and not the tab: its own storage, where the browser gives one. */

/** Keep a text under a name. */
export function keep(name, text) {
  try {
    sessionStorage.setItem(name, text);
  } catch {
    // none in a sandbox, or full: then a reload begins anew
  }
}

/** What was kept; null for nothing. */
export function kept(name) {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null;
  }
}

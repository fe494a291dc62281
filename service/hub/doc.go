// Package hub knows who watches an organization and shows every watcher the newest
// state of it.
//
//	store: commit ─▶ Notifier ─┐                         ┌─▶ Watcher: a node, at GET /v1/watch
//	                           ├─▶ Run ─▶ Frame of an ───┤
//	database, every 250 ms ────┘          organization   └─▶ Subscription: anybody else
//
// Run asks the database which organizations changed: a few times a second, so that
// it sees what other replicas and commands on the database commit, and at once when
// the Notifier reports a commit of this process. For each organization that somebody
// follows, the hub keeps one immutable Frame, in which each node is encoded once.
// Followers read the newest frame at their own pace and skip the frames they were too
// slow for.
//
// A node is online while it watches. The hub marks the nodes that watch here in the
// database, and takes a node with a fresh mark as watching at another replica.
//
// The package speaks no HTTP (service), keeps no rows (service/store) and does not
// decide who may follow an organization.
package hub

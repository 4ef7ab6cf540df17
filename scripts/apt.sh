# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Packages of another Debian suite, without touching the system's apt set-up. Sourced.
#
# apt's state lies in a folder of the caller's, and goes with it. The mirror is the one that the system
# itself uses, as are its proxy and its passwords; what comes from it is checked against the keys of the
# Debian archive, whatever the system trusts besides.

apt_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The mirror that the system has its own Debian packages from; nothing if it has none.
apt_mirror() {
	local uris
	# shellcheck disable=SC2016 # apt expands it
	uris=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' |
		grep -v security | awk '!seen[$0]++')
	# Other archives may come first, and few of them end as Debian's do.
	grep -m 1 '/debian/*$' <<<"$uris" || head -n 1 <<<"$uris"
}

# Makes an apt state in an empty folder; private_apt_get and private_apt_cache use it then.
apt_prepare() { # FOLDER MIRROR SUITE
	apt_state=$1
	mkdir -p "$1"/{preferences,state/lists/partial,cache/archives/partial}
	touch "$1/status"
	echo "deb [arch=amd64 target=Packages signed-by=$apt_keyring] $2 $3 main" >"$1/sources.list"
	# What the system's own configuration does after an update is meant for the system's own state.
	# As root, apt would fetch as the user _apt, who cannot write to this folder.
	cat >"$1/apt.conf" <<-END
		Dir::State "$1/state";
		Dir::State::status "$1/status";
		Dir::Cache "$1/cache";
		Dir::Etc::sourcelist "$1/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "$1/preferences";
		APT::Architecture "amd64";
		APT::Sandbox::User "root";
		APT::Update::Error-Mode "any";
		Acquire::Languages "none";
		Acquire::Retries "2";
		Acquire::http::Timeout "30";
		Acquire::https::Timeout "30";
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	END
}

private_apt_get() {
	apt-get -q -c "$apt_state/apt.conf" "$@"
}

private_apt_cache() {
	apt-cache -c "$apt_state/apt.conf" "$@"
}

# The newest package whose name matches; nothing if there is none.
apt_newest() { # PREFIX EXTENDED-REGEX
	private_apt_cache pkgnames "$1" | grep -Ex "$2" | sort -V | tail -n 1
}

# How much there is to fetch, in words for a message.
apt_download_size() { # PACKAGE
	private_apt_get download --print-uris "$1" | awk '{ printf "%.0f MB", $3 / 1e6 }'
}

apt_version() { # PACKAGE: of the newest one
	private_apt_cache policy "$1" | sed -n 's/^  Candidate: //p'
}

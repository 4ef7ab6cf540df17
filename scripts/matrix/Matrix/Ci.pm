# SPDX-License-Identifier: BSD-2-Clause
#
# What GitLab and GitHub are to do, made from the set "default" of matrix.cfg: one job for each cell, on plain runners,
# and one that makes a report of all
package Matrix::Ci;

use strict;
use warnings;
use File::Basename qw(dirname);
use File::Path qw(make_path);
use Matrix::Results qw(read_text write_text);

my $image = 'debian:12';
my $packages = 'ca-certificates git make perl';
my $install = "apt-get update -q && apt-get install -q -y --no-install-recommends $packages";
my $notice = "# Made from matrix.cfg by make ci-files: change that, not this. make check fails if the two differ.\n";
my $run = 'run_tests.sh --matrix --cells "$CELL" --out "results/$CELL"';
my $report = 'scripts/matrix/matrix.pl merge --out report results/*';

# What a cell has of the cache. What lies there is named after all that it was made from, so what is out of date is not
# used, and goes by itself.
sub cache_of {
	my ($cell) = @_;
	my $axes = $cell->{axes};
	return join('-', $axes->{host}, grep { $_ ne '-' } $axes->{kernel});
}

sub gitlab {
	my @cells = @_;
	my $text = $notice . <<"END";

stages: [test, report]

variables:
  XDG_CACHE_HOME: \$CI_PROJECT_DIR/.cache
  GIT_DEPTH: "1"

.cell:
  stage: test
  image: $image
  timeout: 2 hours
  before_script:
    - $install
  script:
    - ./$run
  artifacts:
    when: always
    expire_in: 4 weeks
    paths: [results/]
    reports:
      junit: results/*/report.xml
END
	for my $cell (@cells) {
		my $cache = cache_of($cell);
		$text .= <<"END";

$cell->{name}:
  extends: .cell
  variables:
    CELL: $cell->{name}
  cache:
    key: vmabi-$cache
    paths: [.cache/]
END
	}
	return $text . <<"END";

report:
  stage: report
  image: $image
  when: always
  before_script:
    - $install
  script:
    - $report
  artifacts:
    when: always
    expose_as: report of the matrix
    paths: [report/report.html, report/report.md, report/report.tap]
END
}

sub github {
	my @cells = @_;
	my $include = join('', map { "          - cell: $_->{name}\n            cache: " . cache_of($_) . "\n" } @cells);

	return $notice . <<"END";

name: matrix
on: [push, pull_request, workflow_dispatch]
permissions:
  contents: read
defaults:
  run:
    shell: bash
jobs:
  cell:
    name: \${{ matrix.cell }}
    runs-on: ubuntu-latest
    container: $image
    timeout-minutes: 120
    strategy:
      fail-fast: false
      matrix:
        include:
${include}    env:
      CELL: \${{ matrix.cell }}
      XDG_CACHE_HOME: \${{ github.workspace }}/.cache
    steps:
      - run: $install
      - uses: actions/checkout\@v4
      - run: git config --global --add safe.directory "\$PWD"
      - uses: actions/cache\@v4
        with:
          path: .cache
          key: vmabi-\${{ matrix.cache }}-\${{ hashFiles('host/kernel/config/*', 'host/kernel/patches/**', 'host/*/*.sh') }}
          restore-keys: vmabi-\${{ matrix.cache }}-
      - run: ./$run
      - uses: actions/upload-artifact\@v4
        if: always()
        with:
          name: \${{ matrix.cell }}
          path: results/\${{ matrix.cell }}
  report:
    needs: cell
    if: always()
    runs-on: ubuntu-latest
    container: $image
    steps:
      - run: $install
      - uses: actions/checkout\@v4
      - run: git config --global --add safe.directory "\$PWD"
      - uses: actions/download-artifact\@v4
        with:
          path: results
      - run: $report
      - run: cat report/report.md >>"\$GITHUB_STEP_SUMMARY"
      - uses: actions/upload-artifact\@v4
        with:
          name: report
          path: |
            report/report.html
            report/report.md
            report/report.tap
            report/report.xml
END
}

# Writes the files; or, to CHECK, returns the names of those that are not as they would be written.
sub files {
	my ($top, $config, $check) = @_;
	my @cells = $config->select('@default');
	my %files = ('.gitlab-ci.yml' => gitlab(@cells), '.github/workflows/matrix.yml' => github(@cells));
	my @stale;

	for my $name (sort keys %files) {
		next if (read_text("$top/$name") // '') eq $files{$name};
		push @stale, $name;
		next if $check;
		make_path(dirname("$top/$name"));
		write_text("$top/$name", $files{$name});
	}
	return @stale;
}

1;

# shellcheck shell=bash
# A Slurm of one node on this machine, sourced by check.sh. All that it writes lies in one folder, its ports are its own, and
# it needs neither systemd nor cgroups nor a host name that can be resolved. Its jobs run as root, as everything of it does.

# Processes of a name, zombies left out: a container may have no init that reaps them.
cluster_processes() {
    local folder name
    for folder in /proc/[0-9]*; do
        { read -r name <"$folder/comm"; } 2>/dev/null || continue
        [ "$name" = "$1" ] || continue
        grep -qs ') Z' "$folder/stat" || echo "${folder#/proc/}"
    done
}

# Whether this machine can be borrowed; says why not.
cluster_may_start() {
    local place daemon
    if [ "$(id -u)" != 0 ]; then
        echo "Slurm's daemons need root here: run it as root, or by make slurm-check, which uses sudo." >&2
        return 1
    fi
    for place in ${SLURM_CONF:+"$SLURM_CONF"} /etc/slurm/slurm.conf /etc/slurm-llnl/slurm.conf; do
        if [ -e "$place" ]; then
            echo "This machine has a Slurm of its own ($place): it is left alone. Run this in a container." >&2
            return 1
        fi
    done
    for daemon in slurmctld slurmd; do
        if [ -n "$(cluster_processes "$daemon")" ]; then
            echo "A $daemon is running on this machine: it is left alone. Run this in a container." >&2
            return 1
        fi
    done
}

# Installs Debian's Slurm where it is missing.
cluster_install() {
    local program missing=
    for program in munged slurmctld slurmd sbatch; do
        command -v "$program" >/dev/null || missing=yes
    done
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "Slurm is missing, and this installs it on Debian and Ubuntu only. Install slurmctld, slurmd, munge and sbatch." >&2
        return 1
    fi
    echo "Slurm is missing: installing slurmctld, slurmd, slurm-client and munge"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends \
        slurmctld slurmd slurm-client munge >/dev/null
    # The packages start the machine's own munged, which nothing here asks.
    if [ -d /run/systemd/system ]; then
        systemctl disable --quiet --now munge slurmctld slurmd || return
    fi
}

# The first port from one on that nobody on this machine listens on.
cluster_free_port() {
    local port=$1
    while (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        port=$((port + 1))
    done
    echo "$port"
}

# What slurmd is to do about cgroups, which it looks at even if no plugin of its settings uses them: nothing. Up to 22.05
# there is no word for that, but version 1's plugin touches nothing until it is used.
cluster_cgroup_plugin() {
    local version
    version=$(slurmd -V)
    version=${version##* }
    if [ "${version%%.*}" -ge 23 ]; then echo disabled; else echo cgroup/v1; fi
}

# Starts it in a folder, and leaves SLURM_CONF set.
cluster_start() {
    cluster=$1
    mkdir -p "$cluster"/{state,spool,munge}
    (umask 077 && head -c 1024 /dev/urandom >"$cluster/munge/key")
    munged --key-file="$cluster/munge/key" --socket="$cluster/munge/socket" --seed-file="$cluster/munge/seed" \
        --pid-file="$cluster/munged.pid" --log-file="$cluster/munged.log" --origin=127.0.0.1

    local port
    port=$(cluster_free_port 26817)
    echo "CgroupPlugin=$(cluster_cgroup_plugin)" >"$cluster/cgroup.conf"
    # The node claims what the examples ask for twice, whatever the machine has.
    cat >"$cluster/slurm.conf" <<END
ClusterName=check
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$(cluster_free_port $((port + 1)))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$cluster/munge/socket
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2
KillWait=10
MpiDefault=none
MailProg=/bin/true
NodeName=localhost NodeAddr=127.0.0.1 CPUs=8 RealMemory=65536
PartitionName=check Nodes=localhost Default=YES
END
    slurmctld -i -f "$cluster/slurm.conf"
    slurmd -N localhost -f "$cluster/slurm.conf"
    export SLURM_CONF=$cluster/slurm.conf
}

cluster_is_idle() {
    [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ]
}

# Processes of its jobs, or those that have a variable of this value besides: their environment names its settings. So does
# that of slurmscriptd, which is slurmctld's.
cluster_job_processes() {
    local folder settings=SLURM_CONF=$cluster/slurm.conf
    for folder in /proc/[0-9]*; do
        if grep -qszxF "$settings" "$folder/environ" && grep -qszxF "${1:-$settings}" "$folder/environ" &&
            ! grep -qs slurmscriptd "$folder/comm"; then
            echo "${folder#/proc/}"
        fi
    done
}

# Ends a process, by force if ten seconds do not suffice.
cluster_end() {
    kill "$1" 2>/dev/null
    local tries=0
    while [ -e "/proc/$1" ] && ! grep -qs ') Z' "/proc/$1/stat"; do
        tries=$((tries + 1))
        [ "$tries" -ne 100 ] || kill -KILL "$1" 2>/dev/null
        [ "$tries" -lt 200 ] || return 1
        sleep 0.1
    done
}

# Stops it, however far it came, with the jobs that it still has.
cluster_stop() {
    [ -n "${cluster:-}" ] || return 0
    local daemon pid code=0
    for daemon in slurmd slurmctld munged; do
        if { read -r pid <"$cluster/$daemon.pid"; } 2>/dev/null; then
            cluster_end "$pid" || code=1
        fi
        # slurmd leaves its jobs running.
        for pid in $(cluster_job_processes ""); do
            cluster_end "$pid" || code=1
        done
    done
    [ "$code" = 0 ] || echo "Some processes of the Slurm in $cluster could not be ended." >&2
    return "$code"
}

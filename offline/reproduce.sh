#!/usr/bin/env bash
# Every act behind docs/results.md, in order. What is done is not done again, so that it
# may be stopped and started at will.
#
#   bash offline/reproduce.sh DATA ENCODER [MPNET]   many hours on two cores
#   bash offline/reproduce.sh --quick                minutes: made-up corpora, a tiny
#                                                    encoder, one seed, a few steps
#
# DATA is what `python -m offline read collected` takes, with pseudo_labels/labels.jsonl;
# ENCODER is the folder of all-MiniLM-L6-v2, MPNET that of all-mpnet-base-v2.
# PYTHON, RUNS and DOCS may be set.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
RUNS=${RUNS:-}
DOCS=${DOCS:-docs}
RECIPES="meld iemocap4 mosi"
SHARES="0.05 0.2"
SEEDS="0 1 2"
MANY_SEEDS="0 1 2 3 4"
LABELS="0 5000 15000 all"
SMALLER=()

if [ "${1:-}" = --quick ]; then
    [ -n "$RUNS" ] || { RUNS=$(mktemp -d) && trap 'rm -rf "$RUNS"' EXIT; }
    DOCS=$RUNS/docs && mkdir -p "$DOCS"
    cp docs/results.md "$DOCS"
    DATA=$RUNS/data ENCODER=$RUNS/encoder MPNET=""
    PYTHONPATH=tests "$PYTHON" -m small_workshop "$DATA" "$ENCODER" "$RUNS/corpora"
    RECIPES=iemocap4 SHARES=0.2 SEEDS=0 MANY_SEEDS=0 LABELS="0 all"
    SMALLER=(--set dialogue.hidden=16 --set dialogue.width=16 --set text.replay=10
        --set voice.copies=0)
    for stage in voice context fusion together; do
        SMALLER+=(--set "dialogue.$stage.steps=4")
    done
else
    DATA=${1:?the folder of the corpora} ENCODER=${2:?the folder of all-MiniLM-L6-v2}
    MPNET=${3:-} RUNS=${RUNS:-runs}
fi

workshop() { "$PYTHON" -m offline "$@"; }

# train EXPERIMENT VARIANT RECIPE SEED [option...]
train() {
    local run="$RUNS/results/$1/$2/seed-$4" recipe=$3 seed=$4
    shift 4
    workshop train --recipe "offline/recipes/$recipe.toml" --corpora "$RUNS/corpora" \
        --labels "$DATA/pseudo_labels/labels.jsonl" --run "$run" \
        --text-encoder "$ENCODER" --set "seed=$seed" "${SMALLER[@]}" "$@"
}

if [ "${1:-}" != --quick ]; then
    workshop read collected "$DATA" --out "$RUNS/corpora"
fi

# --- what are the language model's labels worth? -----------------------------------
for n in $LABELS; do
    for seed in $SEEDS; do
        train stage0 "labels-$n" meld "$seed" --set "text.n_labels=${n/all/-1}" --stage stage0
        for recipe in $RECIPES; do
            train "labels-$recipe" "labels-$n" $recipe "$seed" \
                --set "text.n_labels=${n/all/-1}" \
                --start "$RUNS/results/stage0/labels-$n/seed-$seed"
        done
    done
done
for n in 0 all; do
    for share in $SHARES; do
        for seed in $SEEDS; do
            for recipe in $RECIPES; do
                train "share-$recipe" "labels-$n-share-$share" $recipe "$seed" \
                    --set "text.n_labels=${n/all/-1}" \
                    --set "corpora.${recipe%4}.share=$share" \
                    --start "$RUNS/results/stage0/labels-$n/seed-$seed"
            done
        done
    done
done

# --- what do causality and the other choices cost? ---------------------------------
for recipe in $RECIPES; do
    for seed in $MANY_SEEDS; do
        again=(--start "$RUNS/results/labels-$recipe/labels-all/seed-0" --first dialogue)
        vary() { train "variants-$recipe" "$1" $recipe "$seed" "${again[@]}" "${@:2}"; }
        vary causal
        vary bidirectional --set dialogue.causal=false
        vary no-speakers --set dialogue.speakers=false
        vary joint --set dialogue.joint=true
        vary focal --set dialogue.loss=focal
        vary class-weights --set dialogue.class_weights=0.5
    done
    teachers=()
    for seed in $SEEDS; do
        teachers+=(--teacher "$RUNS/results/variants-$recipe/bidirectional/seed-$seed")
    done
    for seed in $MANY_SEEDS; do
        train "variants-$recipe" taught $recipe "$seed" "${teachers[@]}" \
            --start "$RUNS/results/labels-$recipe/labels-all/seed-0" --first dialogue
    done
done
others=(--set 'corpora.meld={auxiliary=true,batch=12}'
    --set 'corpora.ravdess={role="acted",auxiliary=true,batch=8}')  # of IEMOCAP
if [ "${1:-}" != --quick ]; then  # do other corpora help the context?
    first=$RUNS/results/variants-iemocap4/beside-others/seed-0
    train variants-iemocap4 beside-others iemocap4 0 "${others[@]}" \
        --start "$RUNS/results/labels-iemocap4/labels-all/seed-0" --first voices
    for seed in 1 2 3 4; do
        train variants-iemocap4 beside-others iemocap4 "$seed" "${others[@]}" \
            --start "$first" --first dialogue
    done
    for seed in $MANY_SEEDS; do
        train variants-iemocap4 beside-others-no-labels iemocap4 "$seed" "${others[@]}" \
            --set text.n_labels=0
    done
    teachers=()
    for seed in $SEEDS; do
        teachers+=(--teacher "$RUNS/results/variants-iemocap4/bidirectional/seed-$seed")
    done
    for seed in $MANY_SEEDS; do
        train variants-iemocap4 beside-others-taught iemocap4 "$seed" "${others[@]}" \
            "${teachers[@]}" --start "$first" --first dialogue
    done
    iemocap='corpora.iemocap={auxiliary=true,batch=6,labels=["neutral","sadness","joy","anger"]}'
    train variants-meld beside-others meld 0 --set "$iemocap" \
        --start "$RUNS/results/labels-meld/labels-all/seed-0" --first voices
    train variants-meld beside-others meld 1 --set "$iemocap" \
        --start "$RUNS/results/variants-meld/beside-others/seed-0" --first dialogue
    mixed=(--set text.replay=6000 --set 'text.tune={epochs=4,learning_rate=5e-5}'
        --set 'corpora.goemotions={role="texts",n_texts=20000}')
    train variants-meld mixed meld 0 "${mixed[@]}" \
        --start "$RUNS/results/stage0/labels-all/seed-0"
    for seed in 1 2 3 4; do
        train variants-meld mixed meld "$seed" "${mixed[@]}" \
            --start "$RUNS/results/variants-meld/mixed/seed-0" --first dialogue
    done
fi

# --- the served models -------------------------------------------------------------
# serve NAME RECIPE [option...]: train, export to RUNS/models/NAME
serve() {
    local name=$1 recipe=$2
    shift 2
    train served "$name" "$recipe" 0 "$@"
    [ -d "$RUNS/models/$name" ] ||
        workshop export --run "$RUNS/results/served/$name/seed-0" \
            --model "$RUNS/models/$name"
}
# score MODEL CORPUS REPORT [option...]
score() {
    local model=$1 corpus=$2 report=$3
    shift 3
    workshop evaluate --model "$RUNS/models/$model" \
        --corpus "$RUNS/corpora/$corpus/test.jsonl" \
        --report "$DOCS/results/served/$model/$report.json" "$@"
}
four=neutral,sadness,joy,anger

serve default default
serve free free
serve without-iemocap default --set corpora.iemocap.unseen=true
serve without-ravdess default --set corpora.ravdess.unseen=true
for model in default free without-iemocap without-ravdess; do
    score "$model" meld meld-text --modalities text --card "MELD"
    score "$model" emorynlp emorynlp-text --modalities text --card "EmoryNLP"
    score "$model" goemotions goemotions-text --modalities text
    score "$model" iemocap iemocap-text --modalities text --labels $four \
        --card "IEMOCAP session 5, words alone"
done
for model in default without-iemocap without-ravdess; do
    score "$model" iemocap iemocap-both --labels $four \
        --card "IEMOCAP session 5, four classes"
    score "$model" iemocap iemocap-audio --labels $four --modalities audio \
        --card "IEMOCAP session 5, voice alone"
    score "$model" ravdess ravdess-both --card "RAVDESS actors 21-24, acted words too"
    score "$model" ravdess ravdess-audio --modalities audio \
        --card "RAVDESS actors 21-24, voice alone"
done
for n in 0 1 4 8 16; do
    score default iemocap "iemocap-both-context-$n" --labels $four --context $n
    score default meld "meld-text-context-$n" --modalities text --context $n
done
score default meld meld-text-robust --modalities text --curve --asr-errors 5,15,30
score default ravdess ravdess-audio-robust --modalities audio --curve --noise 20,10,5

# --- a larger encoder --------------------------------------------------------------
if [ -n "$MPNET" ]; then
    ENCODER=$MPNET
    large=(--set threads=2 --set text.precision=bfloat16)  # float32 was the first labels-0
    for n in 0 all; do
        train stage0-mpnet "labels-$n" meld 0 "${large[@]}" \
            --set "text.n_labels=${n/all/-1}" --stage stage0
        for recipe in $RECIPES; do
            train "mpnet-$recipe" "labels-$n" $recipe 0 "${large[@]}" \
                --set "text.n_labels=${n/all/-1}" \
                --start "$RUNS/results/stage0-mpnet/labels-$n/seed-0"
        done
    done
    for recipe in $RECIPES; do
        for seed in $MANY_SEEDS; do  # Stages II and III alone
            train "mpnet-$recipe" causal $recipe "$seed" "${large[@]}" \
                --start "$RUNS/results/mpnet-$recipe/labels-all/seed-0" --first dialogue
        done
    done
    train mpnet-iemocap4 beside-others iemocap4 0 "${large[@]}" "${others[@]}" \
        --start "$RUNS/results/mpnet-iemocap4/labels-all/seed-0" --first voices
fi

"$PYTHON" -m offline.results "$RUNS/results" "$DOCS"
